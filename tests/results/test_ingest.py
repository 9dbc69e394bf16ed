"""From bundles to the index: idempotent, append-only, and honest about runs that are going on or lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from oildrop.results import ingest
from oildrop.results.bundle.read import read_contents
from oildrop.results.ingest import ingest_bundles, ingest_runs, judge_bundle, refresh
from oildrop.results.layout import StoreLayout
from oildrop.results.liveness import RunLock
from oildrop.results.store import reading
from oildrop.results.views import find_run, list_runs, unreadable_bundles
from oildrop.rules.records import Finding


def query(store: StoreLayout, sql: str) -> list[tuple[Any, ...]]:
    with reading(store.database) as connection:
        return connection.execute(sql).fetchall()


def test_a_row_holds_what_the_judge_and_the_bundle_say(store: StoreLayout, make_bundle: Any) -> None:
    bundle = make_bundle(outcome="ok")
    [row] = ingest_runs(store, [bundle])
    evidence, judgement = judge_bundle(bundle)
    [stored] = list_runs(store)
    for found in (row, stored):
        assert (found.spec, found.system, found.judgement) == (evidence.spec, evidence.system, judgement)
        assert found.sealed and found.bundle_id == read_contents(bundle).bundle_id
        assert found.outcome == "ok"
    assert row.digest == stored.digest and len(row.digest.curve) == len(evidence.all("eval_accuracy"))
    assert row.elapsed_s == stored.elapsed_s == max(event.t_ns for event in evidence.events) / 1e9


def test_tables_can_be_asked_in_sql(store: StoreLayout, make_bundle: Any) -> None:
    [row] = ingest_runs(store, [make_bundle(outcome="invalid")])
    [(outcome, reason)] = query(store, "SELECT outcome, reason FROM results")
    assert (outcome, reason) == ("invalid", row.judgement.reason)
    named = query(store, "SELECT name, value, unit, status, reason, window_start_ns FROM headlines ORDER BY name")
    assert named == sorted(
        (m.name, m.value, m.unit, m.status, m.reason, m.window_ns[0] if m.window_ns else None)
        for m in row.judgement.metrics
        if not m.dims
    )
    [(rule, severity, evidence)] = query(store, "SELECT rule, severity, evidence_json FROM findings")
    [finding] = [finding for finding in row.judgement.findings]
    assert (rule, severity, json.loads(evidence)) == (finding.rule, finding.severity, finding.evidence)


def test_doing_it_again_changes_nothing(store: StoreLayout, make_bundle: Any) -> None:
    bundles = [make_bundle(outcome=outcome, seed_index=i) for i, outcome in enumerate(("diverged", "crash"))]
    first = ingest_runs(store, bundles)
    tables = ("runs", "judgements", "metrics", "findings", "systems")
    before = {table: query(store, f"SELECT * FROM {table} ORDER BY ALL") for table in tables}
    assert ingest_runs(store, [*bundles, bundles[0]]) == first
    assert {table: query(store, f"SELECT * FROM {table} ORDER BY ALL") for table in tables} == before
    assert len(before["runs"]) == len(before["judgements"]) == 2 and len(before["systems"]) == 1


def test_a_new_judgement_is_added_and_the_newest_shown(
    store: StoreLayout, make_bundle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_bundle(outcome="diverged")
    [row] = ingest_runs(store, [bundle])
    finding = Finding(rule="R999", severity="flag", message="seen", fix="nothing")
    newer = row.judgement.model_copy(update={"judge_version": "next", "findings": (finding,)})
    monkeypatch.setattr(ingest, "_judge", lambda case: newer)
    ingest_runs(store, [bundle])
    assert find_run(store, "last").judgement == newer
    versions = query(store, "SELECT judge_version FROM judgements ORDER BY judgement_id")
    assert versions == [(row.judgement.judge_version,), ("next",)]
    assert query(store, "SELECT judge_version FROM results") == [("next",)]
    assert len(query(store, "SELECT * FROM metrics")) == 2 * len(row.judgement.metrics)
    assert len(query(store, "SELECT * FROM headlines")) == len([m for m in row.judgement.metrics if not m.dims])


def test_a_run_is_started_while_its_supervisor_lives_and_lost_after(store: StoreLayout, make_bundle: Any) -> None:
    bundle = make_bundle(outcome="started")
    with RunLock(store.lock_file(bundle.name)):
        [row] = refresh(store)
        assert row.outcome == "started" and not row.sealed and row.bundle_id is None
        assert refresh(store) == []
    [row] = refresh(store)
    assert row.outcome == "lost" and list_runs(store)[0].outcome == "lost"
    assert refresh(store) == []
    assert query(store, "SELECT outcome FROM judgements ORDER BY judgement_id") == [("started",), ("lost",)]


def test_a_run_that_is_sealed_later_is_judged_again(store: StoreLayout, make_bundle: Any) -> None:
    bundle = make_bundle(outcome="diverged")
    seal = (bundle / "seal.json").read_bytes()
    (bundle / "seal.json").unlink()
    [row] = refresh(store)
    assert not row.sealed and row.outcome == "diverged"
    (bundle / "seal.json").write_bytes(seal)
    [row] = refresh(store)
    assert row.sealed and row.bundle_id is not None
    assert refresh(store) == []


def test_a_bundle_with_its_last_word_but_no_seal_is_judged_on_its_evidence(
    store: StoreLayout, make_bundle: Any
) -> None:
    bundle = make_bundle(outcome="ok")
    (bundle / "seal.json").unlink()
    [row] = refresh(store)
    assert row.outcome == "ok" and not row.sealed
    assert "R024" in {finding.rule for finding in row.judgement.findings}


def test_a_run_without_a_row_is_found_by_the_next_reader(store: StoreLayout, make_bundle: Any) -> None:
    bundles = [make_bundle(outcome="lost", seed_index=index) for index in range(3)]
    ingest_runs(store, bundles[:1])
    assert [row.run_id for row in refresh(store)] == sorted(bundle.name for bundle in bundles[1:])


def test_a_folder_being_made_is_left_alone(store: StoreLayout, make_bundle: Any) -> None:
    ingest_runs(store, [make_bundle(outcome="crash")])
    store.run_dir("new-run").mkdir()
    with RunLock(store.lock_file("new-run")):
        assert refresh(store) == [] and unreadable_bundles(store) == []
    assert refresh(store) == []
    [problem] = unreadable_bundles(store)
    assert problem.file == "new-run" and "spec.json is missing" in problem.message


def test_an_unreadable_folder_is_named_and_stops_nobody(store: StoreLayout, make_bundle: Any) -> None:
    good, bad = make_bundle(outcome="crash"), make_bundle(outcome="crash", seed_index=1)
    whole = (bad / "spec.json").read_bytes()
    (bad / "spec.json").write_bytes(whole[:50])
    assert [row.run_id for row in refresh(store)] == [good.name]
    assert [problem.file for problem in unreadable_bundles(store)] == [bad.name]
    assert refresh(store) == []
    (bad / "spec.json").write_bytes(whole)
    assert [row.run_id for row in refresh(store)] == [bad.name]
    assert unreadable_bundles(store) == []


def test_a_folder_under_another_name_is_not_taken_for_its_run(store: StoreLayout, make_bundle: Any) -> None:
    bundle = make_bundle(outcome="crash")
    bundle.rename(store.run_dir("impostor"))
    assert refresh(store) == []
    [problem] = unreadable_bundles(store)
    assert problem.file == "impostor" and bundle.name in problem.message


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("rules.toml", b"[[rule]\n", "rules.toml: line 1"),
        ("rules.toml", None, "rules.toml: missing"),
        ("lm-pretrain.toml", None, "reference/lm-pretrain.toml: line 2: benchmark 'lm-pretrain' is not"),
    ],
)
def test_without_its_rulebook_a_run_is_judged_under_the_shipped_one(
    make_bundle: Any, name: str, data: bytes | None, says: str
) -> None:
    bundle = make_bundle(outcome="ok")
    path = bundle / "rulebook" / name
    path.unlink() if data is None else path.write_bytes(data)
    evidence, judgement = judge_bundle(bundle)
    [message] = [problem.message for problem in evidence.problems if problem.file == "rulebook"]
    assert message.startswith(says) and message.endswith("judged under the rulebook of this Oildrop")
    assert judgement.outcome == "invalid"


def test_bundles_of_one_rulebook_share_one_parse(
    store: StoreLayout, make_bundle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundles = [make_bundle(outcome="crash", seed_index=index) for index in range(3)]
    parsed = []
    monkeypatch.setattr(ingest, "_rulebooks", {})
    real = ingest.parse_rulebook
    monkeypatch.setattr(ingest, "parse_rulebook", lambda files: parsed.append(1) or real(files))
    ingest_runs(store, bundles)
    assert len(parsed) == 1


def test_several_processes_give_what_one_gives(
    store: StoreLayout, make_bundle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundles = [make_bundle(outcome=o, seed_index=i) for i, o in enumerate(("crash", "diverged", "lost", "oom"))]
    (store.runs / "broken").mkdir()
    tasks = [ingest._Task(bundle, store.lock_file(bundle.name)) for bundle in [*bundles, store.runs / "broken"]]
    alone = list(ingest._pack_all(tasks))
    monkeypatch.setattr(ingest, "POOL_FROM_RUNS", 2)
    monkeypatch.setattr(ingest, "CHUNK_RUNS", 1)
    monkeypatch.setattr(ingest, "_cores", lambda: 2)
    assert list(ingest._pack_all(tasks)) == alone and len(alone) == 5


def test_foreign_bundles_come_in_once(store: StoreLayout, make_bundle: Any, tmp_path: Path) -> None:
    elsewhere = StoreLayout(tmp_path / "elsewhere")
    bundle = make_bundle(elsewhere, outcome="crash")
    [row] = ingest_bundles(store, [bundle])
    assert row.outcome == "crash" and (store.run_dir(row.run_id) / "seal.json").exists()
    assert ingest_bundles(store, [bundle]) == [row]
    assert query(store, "SELECT count(*) FROM judgements") == [(1,)]
