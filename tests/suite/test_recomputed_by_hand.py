"""Time to target and its interval, worked out again from the bundles by a script that knows nothing of Oildrop."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

OILDROP = Path(sys.executable).with_name("oildrop")
RUNS = 2
"""As few as have an interval: a run takes up to a minute on two slow cores."""

pytestmark = pytest.mark.slow


def time_to_target_s(bundle: Path, benchmark: str) -> float:
    events = [json.loads(line) for line in (bundle / "events.jsonl").read_text().splitlines()]
    target = tomllib.loads((bundle / "rulebook" / f"{benchmark}.toml").read_text())["tiers"]["nano"]["target"]
    (start_ns,) = (event["t_ns"] for event in events if event["key"] == "run_start")
    stops_ns = [event["t_ns"] for event in events if event["key"] == "eval_stop"]
    qualities = [event["value"] for event in events if event["key"] == "eval_accuracy"]
    share = (qualities[-2] - target) / (qualities[-2] - qualities[-1])
    return (stops_ns[-2] + (stops_ns[-1] - stops_ns[-2]) * share - start_ns) / 1e9


@pytest.fixture(scope="module", params=["lm-pretrain", "image-classify"])
def measured(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, dict[str, Any]]:
    store = tmp_path_factory.mktemp("store")
    words = ["run", request.param, "--backend", "torch-cpu", "--set", "execution.threads=1", "--runs", str(RUNS)]
    done = subprocess.run([OILDROP, *words, "--store", store, "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return request.param, store, json.loads(done.stdout)


@pytest.mark.timeout(900)
def test_time_and_interval_follow_from_the_bundles_alone(measured: tuple[str, Path, dict[str, Any]]) -> None:
    benchmark, store, document = measured
    times = [time_to_target_s(store / "runs" / run["run_id"], benchmark) for run in document["runs"]]
    told = [
        metric["value"] for run in document["runs"] for metric in run["metrics"] if metric["name"] == "time_to_target_s"
    ]
    assert told == pytest.approx(times, rel=1e-12)
    logs = [math.log(time) for time in times]
    low, high = stats.t.interval(0.95, RUNS - 1, statistics.fmean(logs), stats.sem(logs))
    (summary,) = document["summary"]
    assert (summary["runs"], summary["ok"], summary["metric"]) == (RUNS, RUNS, "time_to_target_s")
    assert summary["estimate"] == pytest.approx(stats.gmean(times))
    assert (summary["ci95_low"], summary["ci95_high"]) == pytest.approx((math.exp(low), math.exp(high)))


@pytest.mark.timeout(300)
def test_the_same_seed_again_gives_the_same_bits(measured: tuple[str, Path, dict[str, Any]]) -> None:
    benchmark, store, document = measured
    first = document["runs"][0]
    words = ["run", benchmark, "--backend", "torch-cpu", "--set", "execution.threads=1"]
    words += ["--seeds", str(first["seed_index"]), "--json"]
    done = subprocess.run([OILDROP, *words, "--store", store], capture_output=True, text=True)
    (again,) = json.loads(done.stdout)["runs"]
    assert bits(store / "runs" / again["run_id"]) == bits(store / "runs" / first["run_id"])


def bits(bundle: Path) -> dict[str, list[Any]]:
    """Weights hash, first loss and batch digests of one run."""
    wanted: dict[str, list[Any]] = {"weights_sha256": [], "first_loss_fp32": [], "batch_sha256": []}
    for line in (bundle / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["key"] in wanted:
            wanted[event["key"]].append(event["value"])
    assert all(wanted.values())
    return wanted
