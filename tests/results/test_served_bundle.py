"""A served run from its bundle through the judge into the store, and out again in every format."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pandas
import pytest

from oildrop.results.bundle.read import read_bundle
from oildrop.results.bundle.requests import read_requests, write_requests
from oildrop.results.export import export_runs
from oildrop.results.ingest import ingest_runs
from oildrop.results.layout import StoreLayout
from oildrop.results.views import list_runs
from oildrop.rules import keys

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def synthetic_served() -> Any:
    """`benchmarks/synthetic_served.py`."""
    spec = importlib.util.spec_from_file_location("synthetic_served", ROOT / "benchmarks" / "synthetic_served.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["synthetic_served"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def make_served(store: StoreLayout, synthetic: Any, synthetic_served: Any) -> Callable[..., Path]:
    def make(**keywords: Any) -> Path:
        with mock.patch("os.fsync"):
            return synthetic_served.synthetic_served_run(store, system=synthetic.EXAMPLE_SYSTEM, **keywords)

    return make


@pytest.mark.parametrize(
    ("scenario", "rate_per_s", "findings"),
    [
        ("single-stream", None, set()),
        ("multi-stream", None, {"R045"}),
        ("server", 15.0, {"R045"}),
    ],
)
def test_a_served_bundle_is_judged_ok(
    store: StoreLayout, make_served: Any, scenario: str, rate_per_s: float | None, findings: set[str]
) -> None:
    [row] = ingest_runs(store, [make_served(scenario=scenario, rate_per_s=rate_per_s)])
    assert row.outcome == "ok", row.judgement.reason
    assert {finding.rule for finding in row.judgement.findings} == findings
    assert row.headlines["ttft_s_p90"].value == pytest.approx(0.02)
    assert row.headlines["latency_s_p90"].value == pytest.approx(0.036)


def test_requests_and_answers_are_read_beside_each_other(make_served: Any) -> None:
    evidence = read_bundle(make_served())
    assert evidence.problems == () and evidence.evaluations == ()
    assert evidence.requests is not None and evidence.answers is not None
    assert [event.meta["rows"] for event in evidence.all(keys.CHUNK)] == [
        len(evidence.requests.index), len(evidence.answers.index),
    ]  # fmt: skip


def test_a_second_chunk_that_answers_anew_is_found(store: StoreLayout, make_served: Any) -> None:
    """Even in a bundle that nobody sealed: what had ended cannot be told again."""
    bundle = make_served()
    (bundle / "seal.json").unlink()
    requests = read_requests(bundle / "samples" / "0000.arrow")
    write_requests(bundle / "samples" / "0002.arrow", requests)
    [row] = ingest_runs(store, [bundle])
    messages = [finding.message for finding in row.judgement.findings if finding.rule == "R037"]
    assert any("stands more than once" in message for message in messages)


def test_a_changed_answer_breaks_the_bundle(store: StoreLayout, make_served: Any) -> None:
    bundle = make_served()
    data = bytearray((bundle / "samples" / "0001.arrow").read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / "samples" / "0001.arrow").write_bytes(bytes(data))
    [row] = ingest_runs(store, [bundle])
    assert row.outcome == "invalid" and "R002" in {finding.rule for finding in row.judgement.findings}


def test_the_document_says_scenario_rate_and_headline(store: StoreLayout, make_served: Any, tmp_path: Path) -> None:
    made = [make_served(scenario="server", rate_per_s=15.0, seed_index=k) for k in range(2)]
    probe = make_served(scenario="server", rate_per_s=30.0, kind="probe", seed_index=2)
    ingest_runs(store, [*made, probe])
    export_runs(store, list_runs(store), "json", tmp_path / "runs.json")
    document = json.loads((tmp_path / "runs.json").read_text())
    assert {(run["scenario"], run["rate_per_s"], run["kind"]) for run in document["runs"]} == {
        ("server", 15.0, "serve"), ("server", 30.0, "probe"),
    }  # fmt: skip
    [summary] = document["summary"]
    assert (summary["scenario"], summary["metric"], summary["runs"]) == ("server", "requests_per_s", 2)
    assert summary["standing"] == "unranked" and "a rate that was given" in summary["reason"]


def test_random_weights_and_repeated_prompts_are_never_ranked(store: StoreLayout, make_served: Any) -> None:
    from oildrop.results.document import runs_document

    choices: tuple[dict[str, Any], ...] = ({"weights.source": "random"}, {"requests.prompts": "repeated"})
    made = [make_served(settings=choice, seed_index=k) for k, choice in enumerate(choices)]
    reasons = {summary["reason"] for summary in runs_document(store, ingest_runs(store, made))["summary"]}
    assert {"random weights" in reason or "repeated prompts" in reason for reason in reasons} == {True}
    assert len(reasons) == 2


def test_tables_hold_what_a_served_run_lists_and_say_what_it_does_not(
    store: StoreLayout, make_served: Any, tmp_path: Path
) -> None:
    rows = ingest_runs(store, [make_served(failures={3: "cut"})])
    for format in ("csv", "parquet"):
        export_runs(store, rows, format, tmp_path / f"runs.{format}")
        table = (pandas.read_csv if format == "csv" else pandas.read_parquet)(tmp_path / f"runs.{format}")
        assert table["scenario"][0] == "single-stream" and pandas.isna(table["rate_per_s"][0])
        assert table["latency_s_p90"][0] == pytest.approx(0.036)
        assert pandas.isna(table["time_to_target_s"][0])
        assert table["time_to_target_s_reason"][0] == "not listed by this kind of run"
        assert table["reason"][0].endswith("requests failed: 1 cut")


def test_mllog_keeps_the_conventions_own_keys(store: StoreLayout, make_served: Any, tmp_path: Path) -> None:
    from mlperf_logging.compliance_checker.mlp_parser import parse_file

    rows = ingest_runs(store, [make_served()])
    export_runs(store, rows, "mllog", tmp_path / "run.log")
    lines, errors = parse_file(str(tmp_path / "run.log"), ruleset="5.0.0")
    assert errors == []
    assert [line.key for line in lines] == ["init_start", "seed", "init_stop", "run_start", "run_stop"]
