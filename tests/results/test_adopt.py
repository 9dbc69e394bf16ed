"""Foreign bundles: what comes in, what is refused, and that a refusal changes nothing."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from oildrop.results.adopt import adopt_bundles
from oildrop.results.bundle import archive
from oildrop.results.export import export_runs
from oildrop.results.ingest import ingest_bundles, ingest_runs, judge_bundle
from oildrop.results.layout import StoreLayout
from oildrop.rules.errors import BundleError


@pytest.fixture
def elsewhere(tmp_path: Path) -> StoreLayout:
    return StoreLayout(tmp_path / "elsewhere")


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_bundle_is_copied_whole(store: StoreLayout, elsewhere: StoreLayout, make_bundle: Any) -> None:
    bundle = make_bundle(elsewhere, outcome="diverged")
    assert adopt_bundles(store, [bundle]) == [store.run_dir(bundle.name)]
    assert content(store.run_dir(bundle.name)) == content(bundle)
    assert not list(store.incoming.iterdir())


@pytest.mark.parametrize("inside", ["", "runs"])
def test_a_whole_store_comes_in(store: StoreLayout, elsewhere: StoreLayout, make_bundle: Any, inside: str) -> None:
    names = sorted(make_bundle(elsewhere, outcome="crash", seed_index=index).name for index in range(2))
    assert [path.name for path in adopt_bundles(store, [elsewhere.root / inside])] == names


def test_an_exported_archive_comes_in_and_is_the_same_run(
    store: StoreLayout, elsewhere: StoreLayout, make_bundle: Any, tmp_path: Path
) -> None:
    rows = ingest_runs(elsewhere, [make_bundle(elsewhere, outcome="diverged", seed_index=index) for index in range(2)])
    export_runs(elsewhere, rows, "bundle", tmp_path / "two.tar.gz")
    export_runs(elsewhere, rows[:1], "bundle", tmp_path / "one.tar.gz")
    found = ingest_bundles(store, [tmp_path / "two.tar.gz"])
    assert [(row.run_id, row.bundle_id, row.judgement) for row in found] == [
        (row.run_id, row.bundle_id, row.judgement) for row in rows
    ]
    assert not (store.run_dir(rows[0].run_id) / "output.log").exists()
    evidence, judgement = judge_bundle(tmp_path / "one.tar.gz")
    assert not evidence.problems and judgement == rows[0].judgement
    with pytest.raises(BundleError, match="holds 2 bundles"):
        judge_bundle(tmp_path / "two.tar.gz")


def test_the_exported_bundle_is_the_same_run_to_its_own_store(
    store: StoreLayout, make_bundle: Any, tmp_path: Path
) -> None:
    rows = ingest_runs(store, [make_bundle(outcome="diverged")])
    export_runs(store, rows, "bundle", tmp_path / "out")
    assert ingest_bundles(store, [tmp_path / "out"]) == rows
    assert (store.run_dir(rows[0].run_id) / "output.log").exists()


def test_another_content_under_the_same_id_is_refused(
    store: StoreLayout, elsewhere: StoreLayout, make_bundle: Any
) -> None:
    ours = make_bundle(outcome="crash", run_id="same")
    theirs = make_bundle(elsewhere, outcome="diverged", run_id="same")
    before = content(ours)
    with pytest.raises(BundleError, match=r"of run same, which this store has with other content .*events\.jsonl"):
        adopt_bundles(store, [theirs])
    assert content(ours) == before


def test_a_damaged_bundle_comes_in_and_is_judged_invalid(
    store: StoreLayout, elsewhere: StoreLayout, make_bundle: Any
) -> None:
    bundle = make_bundle(elsewhere, outcome="ok")
    (bundle / "extra.txt").write_text("x")
    [row] = ingest_bundles(store, [bundle])
    assert row.outcome == "invalid" and "was added" in str(row.judgement.reason)


def test_links_are_refused(store: StoreLayout, elsewhere: StoreLayout, make_bundle: Any) -> None:
    bundle = make_bundle(elsewhere, outcome="crash")
    os.symlink("/etc/hostname", bundle / "samples.txt")
    with pytest.raises(BundleError, match=r"samples\.txt is no plain file"):
        adopt_bundles(store, [bundle])
    assert not store.run_dir(bundle.name).exists() and not list(store.incoming.iterdir())


def test_what_is_no_bundle_is_refused(store: StoreLayout, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("x")
    for name, says in (("empty", "holds no bundle"), ("file.txt", "neither a bundle"), ("nothing", "does not exist")):
        with pytest.raises(BundleError, match=says):
            adopt_bundles(store, [tmp_path / name])


def test_a_cut_archive_is_refused(store: StoreLayout, make_bundle: Any, tmp_path: Path) -> None:
    rows = ingest_runs(store, [make_bundle(outcome="crash")])
    export_runs(store, rows, "bundle", tmp_path / "whole.tar.gz")
    data = (tmp_path / "whole.tar.gz").read_bytes()
    cut = tmp_path / "cut.tar.gz"
    for length in (0, 1, 20, len(data) // 2, len(data) - 300):
        cut.write_bytes(data[:length])
        with pytest.raises(BundleError, match=r"cannot be unpacked|holds no bundle"):
            adopt_bundles(store, [cut])
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 255
    cut.write_bytes(flipped)
    with pytest.raises(BundleError):
        adopt_bundles(store, [cut])


def tar_of(path: Path, name: str, size: int = 0) -> Path:
    with tarfile.open(path, "w:gz") as file:
        member = tarfile.TarInfo(name)
        member.size = size
        file.addfile(member, io.BytesIO(bytes(size)))
    return path


def test_an_archive_cannot_write_outside(store: StoreLayout, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be unpacked"):
        adopt_bundles(store, [tar_of(tmp_path / "a.tar.gz", "../../evil.txt")])
    assert not list(tmp_path.rglob("evil.txt"))


def test_an_archive_cannot_fill_the_disk(store: StoreLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LARGEST_BYTES", 1000)
    with pytest.raises(BundleError, match="unpacks to 1001 bytes, more than the limit of 1000"):
        adopt_bundles(store, [tar_of(tmp_path / "a.tar.gz", "big", size=1001)])


def test_an_archive_is_the_same_bytes_each_time_and_names_nobody(
    store: StoreLayout, make_bundle: Any, tmp_path: Path
) -> None:
    rows = ingest_runs(store, [make_bundle(outcome="crash")])
    for name in ("a.tar.gz", "b.tar.gz"):
        export_runs(store, rows, "bundle", tmp_path / name)
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()
    with tarfile.open(tmp_path / "a.tar.gz") as file:
        assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in file} == {(0, 0, "", "", 0)}
