"""The index made anew: complete, in one step, and without losing what only the old one knew."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from oildrop.results import ingest
from oildrop.results import store as store_file
from oildrop.results.ingest import ingest_runs, rebuild
from oildrop.results.layout import StoreLayout
from oildrop.results.store import reading, writing
from oildrop.results.views import list_runs
from oildrop.rules.errors import StoreError


@pytest.fixture
def filled(store: StoreLayout, make_bundle: Any) -> StoreLayout:
    ingest_runs(store, [make_bundle(outcome="diverged", seed_index=index) for index in range(3)])
    return store


def files_of(store: StoreLayout) -> set[str]:
    return {path.name for path in store.root.iterdir() if path.is_file()}


def test_a_lost_index_comes_back(filled: StoreLayout) -> None:
    before = list_runs(filled)
    filled.database.unlink()
    told: list[tuple[int, int]] = []
    assert rebuild(filled, progress=lambda done, total: told.append((done, total))) == 3
    assert list_runs(filled) == before and told == [(3, 3)]
    assert files_of(filled) == {"oildrop.duckdb"}


def test_an_empty_store_gets_an_empty_index(store: StoreLayout) -> None:
    assert rebuild(store) == 0
    assert list_runs(store) == [] and store.database.exists()


def test_rebuilding_adds_no_judgement_that_says_the_same(filled: StoreLayout) -> None:
    assert rebuild(filled) == rebuild(filled) == 3
    with reading(filled.database) as connection:
        assert connection.execute("SELECT count(*) FROM judgements").fetchall() == [(3,)]
    assert files_of(filled) == {"oildrop.duckdb"}


def test_earlier_judgements_survive(filled: StoreLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    real = ingest._judge
    newer = lambda case: real(case).model_copy(update={"judge_version": "next"})  # noqa: E731
    monkeypatch.setattr(ingest, "_judge", newer)
    rebuild(filled)
    assert {row.judgement.judge_version for row in list_runs(filled)} == {"next"}
    with reading(filled.database) as connection:
        versions = connection.execute("SELECT judge_version, count(*) FROM judgements GROUP BY ALL").fetchall()
    assert len(versions) == 2 and {count for _, count in versions} == {3}


def test_a_run_whose_folder_is_gone_leaves_the_list_but_not_the_history(filled: StoreLayout) -> None:
    gone = list_runs(filled)[0]
    shutil.rmtree(filled.run_dir(gone.run_id))
    assert rebuild(filled) == 2
    assert gone.run_id not in {row.run_id for row in list_runs(filled)}
    with reading(filled.database) as connection:
        assert connection.execute("SELECT count(*) FROM judgements").fetchall() == [(3,)]


def test_an_unreadable_index_is_kept_beside_the_new_one(filled: StoreLayout) -> None:
    for number in (1, 2):
        filled.database.write_bytes(f"rubbish {number}".encode())
        filled.database.with_name("oildrop.duckdb.wal").write_bytes(b"its log")
        assert rebuild(filled) == 3 and len(list_runs(filled)) == 3
        kept = filled.database.with_name(f"oildrop.duckdb.unreadable-{number}")
        assert kept.read_bytes() == f"rubbish {number}".encode()
        assert kept.with_name(kept.name + ".wal").read_bytes() == b"its log"


def test_a_newer_index_is_kept_beside_the_new_one(filled: StoreLayout) -> None:
    with writing(filled.database) as connection:
        connection.execute("INSERT INTO schema_version VALUES (99)")
    assert rebuild(filled) == 3 and len(list_runs(filled)) == 3
    assert filled.database.with_name("oildrop.duckdb.unreadable-1").exists()


def test_a_failure_leaves_the_old_index(filled: StoreLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    before = filled.database.read_bytes()

    def fail(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ingest, "_judge", fail)
        with pytest.raises(OSError, match="No space left"):
            rebuild(filled)
    assert filled.database.read_bytes() == before and len(list_runs(filled)) == 3
    assert rebuild(filled) == 3 and files_of(filled) == {"oildrop.duckdb"}


def test_a_held_index_is_not_replaced(filled: StoreLayout, monkeypatch: pytest.MonkeyPatch, held: Any) -> None:
    monkeypatch.setattr(store_file, "LOCK_WAIT_S", 0.1)
    before = filled.database.read_bytes()
    with held(filled.database, "write") as holder, pytest.raises(StoreError, match=f"process {holder.pid}"):
        rebuild(filled)
    assert filled.database.read_bytes() == before
