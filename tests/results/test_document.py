"""The `oildrop.runs/1` document against numbers worked out here."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from oildrop.results.document import SUMMARY_FIELDS, runs_document, set_runs
from oildrop.results.ingest import ingest_runs
from oildrop.results.layout import StoreLayout
from oildrop.results.rows import RunRow
from oildrop.rules.records import Finding

T_975 = {2: 4.302652729911275}
"""Student's t at 97.5 %, from a printed table."""


@pytest.fixture
def rows(store: StoreLayout, make_bundle: Any) -> list[RunRow]:
    endings = ("ok", "ok", "ok", "crash")
    return ingest_runs(store, [make_bundle(outcome=o, seed_index=i) for i, o in enumerate(endings)])


def test_each_run_stands_once_with_every_field_of_the_contract(store: StoreLayout, rows: list[RunRow]) -> None:
    document = runs_document(store, [*rows, rows[0]])
    assert list(document) == ["schema", "store", "runs", "summary"]
    assert document["schema"] == "oildrop.runs/1" and document["store"] == str(store.root)
    assert [run["run_id"] for run in document["runs"]] == [row.run_id for row in rows]
    assert list(document["runs"][0]) == [
        "run_id", "benchmark", "tier", "backend", "division", "kind", "seed", "seed_index", "workload_id",
        "system_id", "software_id", "outcome", "reason", "metrics", "findings",
        "scenario", "rate_per_s",
    ]  # fmt: skip
    metric = document["runs"][0]["metrics"][0]
    assert metric["name"] == "time_to_target_s" and metric["value"] == rows[0].headlines["time_to_target_s"].value
    assert document["runs"][3]["reason"] == rows[3].judgement.reason


def test_the_summary_counts_every_attempt(store: StoreLayout, rows: list[RunRow]) -> None:
    [summary] = runs_document(store, rows)["summary"]
    assert list(summary)[: len(SUMMARY_FIELDS)] == list(SUMMARY_FIELDS)
    assert (summary["runs"], summary["ok"], summary["metric"]) == (4, 3, "time_to_target_s")
    assert summary["ci95_low"] is None  # no interval where not all succeeded


def test_the_summary_of_good_runs_is_the_log_t_interval(store: StoreLayout, rows: list[RunRow]) -> None:
    [summary] = runs_document(store, rows[:3])["summary"]
    logs = [math.log(row.headlines["time_to_target_s"].value or 0) for row in rows[:3]]
    mean = sum(logs) / 3
    half = T_975[2] * math.sqrt(sum((x - mean) ** 2 for x in logs) / 2 / 3)
    assert summary["estimate"] == pytest.approx(math.exp(mean), rel=1e-12)
    assert summary["ci95_low"] == pytest.approx(math.exp(mean - half), rel=1e-9)
    assert summary["ci95_high"] == pytest.approx(math.exp(mean + half), rel=1e-9)


def test_elapsed_time_is_the_whole_attempts(rows: list[RunRow]) -> None:
    assert [entry.elapsed_s for entry in set_runs(rows)] == [row.elapsed_s for row in rows]
    assert all((row.elapsed_s or 0) > (row.headlines["time_to_target_s"].value or 0) for row in rows)


def test_what_json_cannot_hold_becomes_a_string(store: StoreLayout, rows: list[RunRow]) -> None:
    finding = Finding(rule="R1", severity="flag", message="m", evidence={"loss": [math.nan, {"x": -math.inf}]}, fix="f")
    row = rows[0]
    odd = RunRow(
        spec=row.spec, system=row.system, digest=row.digest, sealed=True, bundle_id=None,
        judgement=row.judgement.model_copy(update={"findings": (finding,)}),
    )  # fmt: skip
    document = runs_document(store, [odd])
    text = json.dumps(document, allow_nan=False)
    assert json.loads(text)["runs"][0]["findings"][0]["evidence"] == {"loss": ["nan", {"x": "-inf"}]}


def test_no_run_is_an_empty_document(store: StoreLayout) -> None:
    document = runs_document(store, [])
    assert document["runs"] == [] and document["summary"] == []


def test_a_run_that_ended_well_with_failed_requests_is_never_ranked(rows: list[RunRow]) -> None:
    failed = Finding(rule="R042", severity="flag", message="2 of 9 requests failed", fix="see what the server logged")
    row = rows[0]
    judgement = row.judgement.model_copy(update={"reason": "2 of 9 requests failed", "findings": (failed,)})
    odd = RunRow(spec=row.spec, system=row.system, digest=row.digest, sealed=True, bundle_id=None, judgement=judgement)
    [clean, faulty] = set_runs([rows[1], odd])
    assert clean.unranked is None
    assert faulty.unranked == "2 of 9 requests failed: a run whose requests failed in part is never ranked"
