"""A whole run with a recorded trace for a meter, from the command line to the page: every energy by closed form."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from oildrop.results.bundle.read import read_bundle

OILDROP = Path(sys.executable).with_name("oildrop")
START_W, RISE_W_PER_S = 20.0, 0.5
TRACE = [
    {"schema": "oildrop.replay/1", "device": "trace-0", "scope": "node", "update_period_s": 0.01},
    {"t_s": 0, "power_w": START_W},
    {"t_s": 2000, "power_w": START_W + 2000 * RISE_W_PER_S},
]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], Any]:
    """One smoke run with power that rises by half a watt a second from each opening of the meter; its evidence."""
    folder = tmp_path_factory.mktemp("replayed")
    (folder / "trace.jsonl").write_text("\n".join(map(json.dumps, TRACE)))
    words = ["run", "image-classify", "--tier", "smoke", "--backend", "torch-cpu", "--runs", "1", "--json"]
    done = subprocess.run(
        [OILDROP, *words, "--store", folder / "store"], capture_output=True, text=True,
        env={**os.environ, "OILDROP_REPLAY": str(folder / "trace.jsonl")},
    )  # fmt: skip
    assert done.stdout, done.stderr
    (run,) = json.loads(done.stdout)["runs"]
    return folder, run, read_bundle(folder / "store" / "runs" / run["run_id"])


def metric(run: dict[str, Any], name: str, dims: dict[str, str] | None = None) -> dict[str, Any]:
    (found,) = [one for one in run["metrics"] if one["name"] == name and one["dims"] == (dims or {})]
    return found


def opened_s(evidence: Any, start_s: float, stop_s: float) -> float:
    """When the trace began to play, of a sample between two instants: power tells the time since."""
    (series,) = [one for one in evidence.series if one.meter == "replay"]
    samples = zip(series.t_ns, series.values, strict=True)
    t_ns, power_w = next(sample for sample in samples if start_s <= sample[0] / 1e9 <= stop_s)
    return t_ns / 1e9 - (power_w - START_W) / RISE_W_PER_S


def energy_j(opened: float, start_s: float, stop_s: float) -> float:
    """Area under the line from start to stop."""
    middle_s = (start_s + stop_s) / 2 - opened
    return (stop_s - start_s) * (START_W + RISE_W_PER_S * middle_s)


@pytest.mark.timeout(300)
def test_every_energy_is_the_area_under_the_trace(measured: tuple[Path, dict[str, Any], Any]) -> None:
    _, run, evidence = measured
    start_s, stop_s = (next(e.t_ns for e in evidence.events if e.key == key) / 1e9 for key in ("run_start", "run_stop"))
    opened = opened_s(evidence, start_s - 1.0, stop_s)
    expected_j = energy_j(opened, start_s, stop_s)
    energy, power = metric(run, "energy_j"), metric(run, "power_w")
    # A sample's stamp is the middle of its call: off by at most the few ms that this takes.
    assert energy["value"] == pytest.approx(expected_j, rel=2e-3)
    assert power["value"] == pytest.approx(expected_j / (stop_s - start_s), rel=2e-3)
    assert (energy["status"], energy["scope"], energy["formula"]) == ("modelled", "node", "energy/1")
    assert energy["window_ns"] == [round(start_s * 1e9), round(stop_s * 1e9)] and energy["sample_count"] > 0
    compiled = metric(run, "energy_j", {"phase": "compile"})
    assert compiled["value"] == pytest.approx(
        energy_j(opened, *(edge / 1e9 for edge in compiled["window_ns"])), rel=5e-3
    )
    attempt = metric(run, "energy_attempt_j")
    assert attempt["value"] == pytest.approx(energy_j(opened, *(edge / 1e9 for edge in attempt["window_ns"])), rel=2e-3)
    samples = sum(int(e.meta["samples"]) for e in evidence.events if e.key == "block_stop")
    assert metric(run, "energy_per_sample_j")["value"] == pytest.approx(expected_j / samples, rel=2e-3)


@pytest.mark.timeout(300)
def test_idle_power_is_that_of_the_trace_before_and_after(measured: tuple[Path, dict[str, Any], Any]) -> None:
    _, run, evidence = measured
    sides = [metric(run, "idle_power_w", {"when": when}) for when in ("before", "after")]
    for side in sides:
        start_s, stop_s = (edge / 1e9 for edge in side["window_ns"])
        opened = opened_s(evidence, start_s, stop_s)
        assert side["value"] == pytest.approx(energy_j(opened, start_s, stop_s) / (stop_s - start_s), rel=2e-3)
        assert 3.0 < stop_s - start_s <= 5.5
    idle, above, energy = (metric(run, name) for name in ("idle_power_w", "energy_above_idle_j", "energy_j"))
    assert idle["value"] == pytest.approx(sum(side["value"] for side in sides) / 2)
    run_s = (energy["window_ns"][1] - energy["window_ns"][0]) / 1e9
    if above["value"] is not None:
        assert above["value"] == pytest.approx(energy["value"] - idle["value"] * run_s)
    setup = metric(run, "setup_s")
    assert setup["window_ns"][0] / 1e9 >= sides[0]["window_ns"][1] / 1e9, "idle time is no part of set-up"


@pytest.mark.timeout(300)
def test_nobody_takes_it_for_a_measurement(measured: tuple[Path, dict[str, Any], Any]) -> None:
    folder, run, _ = measured
    assert {"R067"} <= {finding["rule"] for finding in run["findings"]}
    made = subprocess.run(
        [OILDROP, "site", "build", "--out", folder / "page", "--store", folder / "store"],
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    (page,) = (folder / "page").glob("r/*/index.html")
    shown = page.read_text("utf-8")
    assert "a recorded trace was played back for trace-0" in shown and "replay of a recorded trace" in shown
    assert " Wh, node</small>" in shown and "No power trace" not in shown
    index = (folder / "page" / "index.html").read_text("utf-8")
    assert "J a success, failures counted (node)" in index
