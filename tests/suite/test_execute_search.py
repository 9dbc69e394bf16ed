"""A search carried out: what is run, in which order, and what a watcher is told; the runs themselves are made up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from oildrop.results.layout import StoreLayout
from oildrop.rules.records import RunSpec
from oildrop.suite import execute as execution
from oildrop.suite.planning import plan
from oildrop.suite.request import RunRequest


class Watcher:
    """Progress that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, int]] = []
        self.messages: list[str] = []

    def set_started(self, planned: Any) -> None:
        """Not looked at."""

    def run_started(self, spec: RunSpec, number: int, total: int) -> None:
        """Kind and place of the run."""
        self.told.append((spec.kind, number, total))

    def run_ended(self, row: Any) -> None:
        """Not looked at."""

    def message(self, text: str) -> None:
        """Kept."""
        self.messages.append(text)


def carry_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Any, outcomes: list[str], **asked: Any) -> tuple[Any, Watcher]:
    ends = iter(outcomes)

    def run_one(planned: Any, spec: RunSpec, layout: Any, progress: Any, costs: Any) -> tuple[Any, Any]:
        outcome = next(ends)
        row = SimpleNamespace(spec=spec, outcome=outcome, run_id=spec.run_id)
        return row, SimpleNamespace(outcome=outcome)

    monkeypatch.setattr(execution, "run_one", run_one)
    monkeypatch.setattr(execution, "step_costs", lambda path: None)
    layout = StoreLayout(tmp_path / "store")
    fields: dict[str, Any] = {"benchmarks": ("lm-generate",), "backend": "torch-cpu", "scenario": "server", **asked}
    watcher = Watcher()
    report = execution.execute(plan(RunRequest(**fields), layout), layout, watcher)  # type: ignore[arg-type]
    assert next(ends, None) is None, "fewer runs than expected"
    return report, watcher


def test_probes_then_the_runs_that_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    outcomes = ["ok", "target_missed", "ok", "ok", "ok"]
    report, watcher = carry_out(monkeypatch, tmp_path, outcomes, runs=2)
    assert watcher.told == [("probe", 1, 3), ("probe", 2, 3), ("probe", 3, 3), ("serve", 1, 2), ("serve", 2, 2)]
    assert [row.spec.rate_per_s for row in report.rows] == [20.0, 80.0, 40.0, 40.0, 40.0]
    assert not report.cancelled


def test_a_final_that_misses_is_followed_by_one_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    report, watcher = carry_out(monkeypatch, tmp_path, ["ok", "target_missed", "ok", "target_missed", "ok"])
    assert watcher.told[3:] == [("serve", 1, 1), ("serve", 2, 2)]
    assert [row.spec.rate_per_s for row in report.rows][3:] == [40.0, 32.0]


def test_ctrl_c_in_a_probe_ends_the_plan(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    report, _ = carry_out(monkeypatch, tmp_path, ["ok", "cancelled"])
    assert report.cancelled
    assert len(report.rows) == 2


def test_what_is_unsupported_is_not_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    report, watcher = carry_out(monkeypatch, tmp_path, ["unsupported"], scenario="offline", runs=3)
    assert len(report.rows) == 1
    assert watcher.messages == ["lm-generate: not tried again, every run would end the same way"]


def test_a_given_rate_is_run_without_a_probe(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    report, watcher = carry_out(monkeypatch, tmp_path, ["target_missed"], rate_per_s=500.0)
    assert watcher.told == [("serve", 1, 1)]
    assert report.rows[0].spec.rate_per_s == 500.0
    assert report.rows[0].spec.parent_run_id is None
