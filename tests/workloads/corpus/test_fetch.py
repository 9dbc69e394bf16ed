"""Which place a file is taken from, what is kept, and what is said when none has it."""

from __future__ import annotations

import errno
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from oildrop.rules.errors import OildropError, Unsupported
from oildrop.workloads.corpus import fetch as fetch_module
from oildrop.workloads.corpus.cache import Cache, default_cache
from oildrop.workloads.corpus.download import Patience
from oildrop.workloads.corpus.fetch import fetch

BODY = random.Random(2).randbytes(30_000)


def test_a_downloaded_file_is_kept_and_never_fetched_again(
    served: Any, make: Any, cache: Cache, patience: Patience
) -> None:
    served.files["file.bin"] = BODY
    file = make.file(BODY, served.url("file.bin"))
    first = fetch(make.manifest(file), file, cache=cache, patience=patience)
    served.files.clear()
    again = fetch(make.manifest(file), file, cache=cache, patience=patience)
    assert first == again == cache.folder / "sha256" / make.sha256(BODY)
    assert again.read_bytes() == BODY and len(served.asked) == 1
    assert not list(cache.folder.rglob("*.part"))


def test_a_transfer_of_an_earlier_run_is_gone_on_with(served: Any, make: Any, cache: Cache, patience: Patience) -> None:
    served.files["file.bin"], served.drops_after = BODY, [8000] + [0] * 9
    file = make.file(BODY, served.url("file.bin"))
    with pytest.raises(Unsupported, match="8,000 of 30,000 bytes"):
        fetch(make.manifest(file), file, cache=cache, patience=patience)
    served.drops_after, served.asked = [], []
    assert fetch(make.manifest(file), file, cache=cache, patience=patience).read_bytes() == BODY
    assert served.asked == [("/file.bin", "bytes=8000-")]


def test_a_broken_part_is_started_over_once(served: Any, make: Any, cache: Cache, patience: Patience) -> None:
    served.files["file.bin"] = BODY
    file = make.file(BODY, served.url("file.bin"))
    part = cache.path_of(file.sha256).with_name(f"{file.sha256}.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 500)
    assert fetch(make.manifest(file), file, cache=cache, patience=patience).read_bytes() == BODY
    assert [asked for _, asked in served.asked] == ["bytes=500-", None]


def test_wrong_bytes_are_named_with_both_hashes_and_not_kept(
    served: Any, make: Any, cache: Cache, patience: Patience
) -> None:
    wrong = BODY[:-1] + b"!"
    served.files["file.bin"] = wrong
    file = make.file(BODY, served.url("file.bin"))
    with pytest.raises(OildropError) as caught:
        fetch(make.manifest(file), file, cache=cache, patience=patience)
    assert not isinstance(caught.value, Unsupported)
    for part in ("file.bin of toy", make.sha256(BODY), make.sha256(wrong), "apt install toy", "OILDROP_DATA"):
        assert part in str(caught.value)
    assert [path.suffix for path in (cache.folder / "sha256").iterdir()] in ([".lock"], [])


def test_a_wrong_or_truncated_local_file_is_named_and_left_alone(
    make: Any, cache: Cache, tmp_path: Path, patience: Patience
) -> None:
    place = tmp_path / "file.bin"
    place.write_bytes(BODY[:-5])
    file = make.file(BODY, str(place))
    with pytest.raises(OildropError, match="29,995 bytes found, 30,000 expected"):
        fetch(make.manifest(file), file, cache=cache, patience=patience)
    assert place.read_bytes() == BODY[:-5]


def test_the_next_place_is_tried_after_one_without_it_and_one_with_other_bytes(
    served: Any, make: Any, cache: Cache, tmp_path: Path, patience: Patience
) -> None:
    (tmp_path / "bad").write_bytes(b"bad")
    served.files["good"] = BODY
    file = make.file(BODY, "/nowhere/at/all", (tmp_path / "bad").as_uri(), served.url("lost"), served.url("good"))
    assert fetch(make.manifest(file), file, cache=cache, patience=patience).read_bytes() == BODY


def test_a_local_file_is_used_where_it_lies(make: Any, cache: Cache, tmp_path: Path, patience: Patience) -> None:
    place = tmp_path / "file.bin"
    place.write_bytes(BODY)
    for address in (str(place), place.as_uri()):
        file = make.file(BODY, address)
        assert fetch(make.manifest(file), file, cache=cache, patience=patience) == place
    assert not cache.folder.exists()


@pytest.mark.parametrize("inner", ["file.bin", "toy/file.bin"])
def test_the_data_folder_comes_before_the_manifests_places(
    served: Any, make: Any, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inner: str
) -> None:
    (tmp_path / "data" / "toy").mkdir(parents=True)
    (tmp_path / "data" / inner).write_bytes(BODY)
    served.files["file.bin"] = BODY
    file = make.file(BODY, served.url("file.bin"))
    monkeypatch.setenv("OILDROP_DATA", str(tmp_path / "data"))
    assert fetch(make.manifest(file), file, cache=cache) == tmp_path / "data" / inner
    assert served.asked == []


def test_the_data_variable_may_be_an_address(
    served: Any, make: Any, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.files["mirror/file.bin"] = BODY
    file = make.file(BODY)
    monkeypatch.setenv("OILDROP_DATA", served.url("mirror/"))
    assert fetch(make.manifest(file), file, cache=cache).read_bytes() == BODY
    assert [path for path, _ in served.asked] == ["/mirror/toy/file.bin", "/mirror/file.bin"]


def test_another_form_of_the_same_content_will_do(
    served: Any, make: Any, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = b"other form"
    file = make.file(BODY, "/nowhere", also=[make.copy(other, served.url("other"))])
    served.files["other"] = other
    assert fetch(make.manifest(file), file, cache=cache).read_bytes() == other
    (tmp_path / "file.bin").write_bytes(other)
    monkeypatch.setenv("OILDROP_DATA", str(tmp_path))
    assert fetch(make.manifest(file), file, cache=Cache(folder=tmp_path / "new")) == tmp_path / "file.bin"


def test_data_that_are_nowhere_are_unsupported_with_the_fix_and_without_this_machines_folders(
    make: Any, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OILDROP_DATA", str(tmp_path / "private"))
    file = make.file(BODY, "/usr/share/toy/file.bin")
    with pytest.raises(Unsupported) as caught:
        fetch(make.manifest(file), file, cache=cache)
    message = str(caught.value)
    assert "apt install toy, or set OILDROP_DATA to a folder that holds it" in message
    assert "$OILDROP_DATA/toy/file.bin: no such file" in message and "/usr/share/toy/file.bin: no such file" in message
    assert str(tmp_path) not in message


def test_without_space_the_need_and_the_fix_are_named(
    served: Any, make: Any, tmp_path: Path, patience: Patience
) -> None:
    served.files["file.bin"] = BODY
    file = make.file(BODY, served.url("file.bin"))
    full = Cache(folder=tmp_path / "cache", free_bytes=lambda _: 29_999)
    with pytest.raises(OildropError, match=r"30,000 bytes are needed, 29,999 are free.*OILDROP_CACHE"):
        fetch(make.manifest(file), file, cache=full, patience=patience)
    assert served.asked == []


def test_a_disk_that_fills_up_meanwhile_is_told_from_a_network_error(
    make: Any, cache: Cache, patience: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetch_module, "download", full)
    file = make.file(BODY, "http://127.0.0.1:1/file.bin")
    with pytest.raises(OildropError, match=r"no space for http.*30,000 bytes are needed.*OILDROP_CACHE"):
        fetch(make.manifest(file), file, cache=cache, patience=patience)


def test_a_cache_that_cannot_be_written_names_the_variable(make: Any, tmp_path: Path, patience: Patience) -> None:
    (tmp_path / "file").write_text("a file where the folder should be")
    file = make.file(BODY, "http://127.0.0.1:1/file.bin")
    with pytest.raises(OildropError, match="set OILDROP_CACHE to one that can"):
        fetch(make.manifest(file), file, cache=Cache(folder=tmp_path / "file"), patience=patience)


def test_a_cached_file_that_has_decayed_is_fetched_again(
    served: Any, make: Any, cache: Cache, patience: Patience
) -> None:
    served.files["file.bin"] = BODY
    file = make.file(BODY, served.url("file.bin"))
    path = fetch(make.manifest(file), file, cache=cache, patience=patience)
    path.write_bytes(BODY[:-1] + b"!")
    assert fetch(make.manifest(file), file, cache=cache, patience=patience).read_bytes() == BODY
    assert len(served.asked) == 2


CHILD = """
import sys
from pathlib import Path
from oildrop.rules.data_manifest import Manifest
from oildrop.workloads.corpus.cache import Cache
from oildrop.workloads.corpus.fetch import fetch
manifest = Manifest.model_validate_json(sys.argv[1])
print(len(fetch(manifest, manifest.files[0], cache=Cache(folder=Path(sys.argv[2]))).read_bytes()))
"""


def test_processes_that_want_the_same_file_fetch_it_once(served: Any, make: Any, cache: Cache) -> None:
    served.files["file.bin"], served.pause_s = BODY, 0.1
    manifest = make.manifest(make.file(BODY, served.url("file.bin")))
    command = [sys.executable, "-P", "-c", CHILD, manifest.model_dump_json(), str(cache.folder)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [child.communicate(timeout=60)[0] for child in children] == ["30000\n"] * 3
    assert len(served.asked) == 1


def test_the_cache_folder_follows_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.setenv("OILDROP_CACHE", "/own")
    assert default_cache().folder == Path("/own")
    monkeypatch.delenv("OILDROP_CACHE")
    assert default_cache().folder == Path("/xdg/oildrop")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache().folder == Path("/home/somebody/.cache/oildrop")
