"""Finding runs by filter and by name."""

from __future__ import annotations

import time
from typing import Any

import pytest

from oildrop.results.ingest import ingest_runs
from oildrop.results.layout import STORE_VARIABLE, StoreLayout, store_layout
from oildrop.results.views import find_run, list_runs, unreadable_bundles
from oildrop.rules.errors import StoreError, UsageError

IDS = ("20261101-aaa", "20261102-aab", "20261103-bbb")


@pytest.fixture
def filled(store: StoreLayout, make_bundle: Any) -> StoreLayout:
    endings = ("crash", "diverged", "crash")
    ingest_runs(store, [make_bundle(outcome=o, seed_index=i, run_id=IDS[i]) for i, o in enumerate(endings)])
    return store


def test_runs_come_newest_first_by_filter_and_limit(filled: StoreLayout) -> None:
    ids = lambda **how: [row.run_id for row in list_runs(filled, **how)]  # noqa: E731
    assert ids() == list(reversed(IDS))
    assert ids(limit=2) == [IDS[2], IDS[1]] and ids(limit=0) == []
    assert ids(outcome="crash") == [IDS[2], IDS[0]]
    assert ids(outcome="crash", benchmark="lm-pretrain", limit=1) == [IDS[2]]
    assert ids(benchmark="image-classify") == []


@pytest.mark.parametrize(
    ("name", "found"), [("last", IDS[2]), (IDS[0], IDS[0]), ("20261103", IDS[2]), ("20261102-a", IDS[1])]
)
def test_a_run_is_found_by_id_beginning_or_last(filled: StoreLayout, name: str, found: str) -> None:
    assert find_run(filled, name).run_id == found


def test_the_whole_id_wins_over_longer_ones(filled: StoreLayout, make_bundle: Any) -> None:
    ingest_runs(filled, [make_bundle(outcome="crash", run_id="20261101-aaa-1")])
    assert find_run(filled, "20261101-aaa").run_id == "20261101-aaa"


def test_an_ambiguous_beginning_names_the_runs(filled: StoreLayout) -> None:
    with pytest.raises(UsageError, match=r"3 runs begin with '202611': 20261101-aaa, .*; type more"):
        find_run(filled, "202611")


def test_an_unknown_name_offers_the_nearest(filled: StoreLayout) -> None:
    with pytest.raises(UsageError, match="begins with '20261101-aba'; the nearest are 20261101-aaa"):
        find_run(filled, "20261101-aba")
    with pytest.raises(UsageError, match="`oildrop runs` lists them"):
        find_run(filled, "zzz")
    with pytest.raises(UsageError, match="begins with ''"):
        find_run(filled, "")


def test_a_store_without_index_has_no_runs(store: StoreLayout) -> None:
    assert list_runs(store) == [] and unreadable_bundles(store) == []
    with pytest.raises(UsageError, match="there is no run in"):
        find_run(store, "last")
    with pytest.raises(UsageError, match="no run in"):
        find_run(store, "x")
    assert not store.database.exists()


def test_runs_of_one_machine_share_one_system_record(filled: StoreLayout) -> None:
    first, second, _ = list_runs(filled)
    assert first.system is not None and first.system is second.system


def test_a_digest_whose_run_left_the_index_says_so(filled: StoreLayout) -> None:
    from oildrop.results.store import writing

    row = list_runs(filled)[0]
    with writing(filled.database) as connection:
        connection.execute("DELETE FROM runs")
    with pytest.raises(StoreError, match="left the index"):
        _ = row.digest


def test_many_rows_keep_their_own_digests(store: StoreLayout, synthetic: Any) -> None:
    import random

    begin = time.process_time()
    synthetic.synthetic_store(store, 60, random.Random(1), templates=3)
    rows = list_runs(store)
    assert len(rows) == len({row.run_id for row in rows}) == 60 and time.process_time() > begin
    for row in rows:
        assert row.judgement.run_id == row.run_id
        finals = [point.quality for point in row.digest.curve[-1:]]
        quality = row.headlines["final_quality"].value
        assert quality is None or finals == [pytest.approx(quality)]


def test_the_store_is_the_option_else_the_variable_else_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(STORE_VARIABLE, raising=False)
    assert store_layout(None).root == tmp_path / "oildrop-store"
    monkeypatch.setenv(STORE_VARIABLE, str(tmp_path / "b"))
    assert store_layout(None).root == tmp_path / "b"
    layout = store_layout(tmp_path / "a")
    assert layout.root == tmp_path / "a" and not layout.root.exists()
    assert layout.run_dir("r") == tmp_path / "a" / "runs" / "r"
    assert layout.lock_file("r") == tmp_path / "a" / "locks" / "r.lock"


def test_a_store_that_cannot_be_created_says_why(tmp_path: Any) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot be created \(Not a directory.*--store"):
        StoreLayout(tmp_path / "file" / "store").ensure()
