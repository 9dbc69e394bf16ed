"""Served runs that a limit ends, with the real command line: how they are told, and what was recorded until then."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from mock_server import MockServer, serving

from oildrop.harness.child import WorkerProcess
from oildrop.results.bundle.read import read_bundle
from oildrop.rules.records import Limits
from oildrop.suite import planning
from oildrop.suite.cli.main import main

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch

GOOD, IN_FLIGHT = 40, 4
SILENT_AFTER = [*["good"] * GOOD, "silent"]
"""What the server does to each request; one of the good ones is asked before the clock starts."""


def ended(words: list[str], store: Path, capsys: Capture) -> tuple[dict[str, Any], Counter[str]]:
    """The run's row and the outcomes of its requests; `check` finds its bundle whole and sealed."""
    assert main(["run", *words, "--json", "--store", str(store)]) == 1
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert main(["check", run["run_id"], "--store", str(store)]) == 0
    capsys.readouterr()
    evidence = read_bundle(store / "runs" / run["run_id"])
    assert evidence.problems == () and evidence.sealed
    assert evidence.requests is not None
    return dict(run), Counter(evidence.requests.outcome)


def asked_of(url: str, *more: str) -> list[str]:
    return ["lm-serve", "--endpoint", url, "--concurrency", str(IN_FLIGHT), *more]


def said(run: dict[str, Any], rule: str) -> str:
    """What the run's only finding of `rule` says."""
    (message,) = [finding["message"] for finding in run["findings"] if finding["rule"] == rule]
    return str(message)


@pytest.mark.slow
def test_a_server_that_falls_silent_meets_the_stall_limit(tmp_path: Path, capsys: Capture, monkeypatch: Patch) -> None:
    monkeypatch.setattr(planning, "Limits", lambda **limits: Limits(**{**limits, "stall_s": 3.0}))
    with serving(MockServer(*SILENT_AFTER, pace_s=0.02)) as server:
        run, kept = ended(asked_of(server.url), tmp_path, capsys)
    assert run["outcome"] == "timeout"
    assert run["reason"].startswith("the worker made no progress: 3.")
    assert kept == {"ok": GOOD - 1, "unfinished": IN_FLIGHT}
    assert "of the 43 requests that were kept" in said(run, "R050")
    assert "4 of 43 requests failed: 4 unfinished" in said(run, "R042")


@pytest.mark.slow
def test_a_deadline_ends_a_load_before_its_minima(tmp_path: Path, capsys: Capture) -> None:
    with serving(MockServer(*SILENT_AFTER, pace_s=0.02)) as server:
        run, kept = ended(asked_of(server.url, "--timeout", "18"), tmp_path, capsys)
    assert run["outcome"] == "timeout"
    assert run["reason"] == "the deadline was near before the scenario's minima were reached; 4 unanswered"
    assert kept == {"ok": GOOD - 1, "unfinished": IN_FLIGHT}
    assert "the run had 18 s, the tier gives 300 s" in said(run, "R018")


@pytest.mark.slow
@pytest.mark.parametrize("where", ["endpoint", "here"])
def test_memory_beyond_its_limit_ends_a_load(where: str, tmp_path: Path, capsys: Capture, monkeypatch: Patch) -> None:
    """The worker is said to hold 3 GiB as soon as two chunks of its requests are in the log."""

    def resident_bytes(_: WorkerProcess) -> int:
        (log,) = tmp_path.glob("runs/*/events.jsonl")
        return 3 * 2**30 if log.read_text().count('"key":"chunk"') > 1 else 2**20

    monkeypatch.setattr(WorkerProcess, "resident_bytes", resident_bytes)
    with serving(MockServer("good", pace_s=0.02)) as server:
        words = asked_of(server.url)
        if where == "here":
            words = ["image-infer", "--backend", "torch-cpu", "--scenario", "single-stream"]
            words += ["--set", "execution.threads=1"]
        run, kept = ended([*words, "--memory-limit", "2GiB"], tmp_path, capsys)
    assert run["outcome"] == "oom"
    assert run["reason"] == "the worker used more memory than --memory-limit: 3072 MiB of 2048 MiB"
    assert kept["ok"] > 0
    assert f"of the {kept.total()} requests that were kept" in said(run, "R050")
