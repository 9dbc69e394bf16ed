"""The harness's own cost a step: measured once a host, kept, and asked for by the kind of run."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from oildrop.harness import calibration
from oildrop.harness.calibration import StepCosts, step_costs


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls: list[str] = []
    monkeypatch.setattr(calibration, "measure_step_cost_s", lambda: calls.append("trained") or 1e-6)
    monkeypatch.setattr(calibration, "measure_served_step_cost_s", lambda: calls.append("served") or 3e-6)
    return calls


def test_costs_are_measured_once_and_kept(tmp_path: Path, measured: list[str]) -> None:
    path = tmp_path / "calibration.json"
    first, second = step_costs(path), step_costs(path)
    assert first == second == StepCosts(trained_s=1e-6, served_s=3e-6)
    assert measured == ["trained", "served"]


@pytest.mark.parametrize(
    "change", [{"schema": "oildrop.calibration/1"}, {"oildrop": "0"}, {"served_step_cost_s": None}]
)
def test_those_of_another_release_or_host_are_measured_again(
    tmp_path: Path, measured: list[str], change: dict[str, Any]
) -> None:
    path = tmp_path / "calibration.json"
    step_costs(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    step_costs(path)
    assert measured == ["trained", "served"] * 2


def test_a_run_is_charged_with_its_own_loop() -> None:
    costs = StepCosts(trained_s=1.0, served_s=2.0)
    trained: Any = SimpleNamespace(scenario=None)
    served: Any = SimpleNamespace(scenario="offline")
    assert (costs.of(trained), costs.of(served)) == (1.0, 2.0)


def test_both_loops_can_be_measured() -> None:
    assert 0 <= calibration.measure_step_cost_s(pairs=3, steps=50) < 1
    assert 0 <= calibration.measure_served_step_cost_s(pairs=3, steps=50) < 1
