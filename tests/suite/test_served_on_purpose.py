"""Served runs and their clients are killed on purpose with the real command line: what was recorded is judged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from mock_server import MockServer, serving

OILDROP = Path(sys.executable).with_name("oildrop")
WAIT_S = 100.0


@pytest.fixture
def url() -> Iterator[str]:
    """A server that gives a token each 20 ms, and after 40 answers to three in four requests nothing."""
    ways = ["good"] * 40 + ["silent", "silent", "silent", "good"] * 500
    with serving(MockServer(*ways, pace_s=0.02)) as server:
        yield server.url


def words_of(what: str, url: str) -> list[str]:
    if what == "endpoint":
        return ["lm-serve", "--endpoint", url, "--concurrency", "4"]
    return ["image-infer", "--backend", "torch-cpu", "--scenario", "single-stream", "--set", "execution.threads=1"]


def chunks_of(store: Path) -> list[dict[str, Any]]:
    logs = list((store / "runs").glob("*/events.jsonl"))
    lines = [json.loads(line) for log in logs for line in log.read_text().splitlines() if '"key":"chunk"' in line]
    return [line["meta"] for line in lines]


def wait_for_chunks(process: subprocess.Popen[bytes], store: Path, count: int) -> None:
    deadline = time.monotonic() + WAIT_S
    while len(chunks_of(store)) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"no {count} chunks within {WAIT_S} s"
        time.sleep(0.05)


def struck(what: str, url: str, store: Path, number: signal.Signals, *, worker: bool) -> dict[str, Any]:
    """The run's row and its findings once a signal has met its worker or its supervisor while it served."""
    process = subprocess.Popen(
        [OILDROP, "run", *words_of(what, url), "--store", store], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    wait_for_chunks(process, store, 2)
    target = process.pid
    if worker:
        children = psutil.Process(process.pid).children()
        (target,) = [child.pid for child in children if "oildrop.harness.worker" in child.cmdline()]
    os.kill(target, number)
    process.communicate(timeout=WAIT_S)
    done = subprocess.run([OILDROP, "rebuild", "--store", store], capture_output=True, text=True, timeout=WAIT_S)
    assert done.returncode == 0, done.stderr
    done = subprocess.run(
        [OILDROP, "runs", "--json", "--store", store], capture_output=True, text=True, timeout=WAIT_S, check=True
    )
    (run,) = json.loads(done.stdout)["runs"]
    return dict(run)


BUSY = {f"R08{number}" for number in range(9)}
"""What a busy machine did to a run: its tests share their cores with others."""

CASES = (
    ("crash", signal.SIGKILL, True, "the worker was ended by SIGKILL"),
    ("cancelled", signal.SIGINT, False, "stopped by SIGINT"),
    ("lost", signal.SIGKILL, False, "the supervisor died"),
)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("what", ["endpoint", "served here"])
@pytest.mark.parametrize(("outcome", "number", "worker", "reason"), CASES)
def test_requests_outlive_whoever_is_killed(
    what: str, outcome: str, number: signal.Signals, worker: bool, reason: str, url: str, tmp_path: Path
) -> None:
    run = struck(what, url, tmp_path, number, worker=worker)
    assert run["outcome"] == outcome and reason in run["reason"]
    metrics = {metric["name"]: metric for metric in run["metrics"] if not metric["dims"]}
    findings = {finding["rule"]: finding for finding in run["findings"]}
    kept, failed = (findings["R050"]["evidence"][name] for name in ("requests", "failed"))
    assert metrics["error_fraction"]["value"] == pytest.approx(failed / kept)
    assert kept > failed >= (1 if what == "endpoint" else 0)
    assert metrics["latency_s_p50"]["value"] > 0
    assert metrics["requests_per_s"]["value"] > 0
    assert "R042" in findings or failed == 0
    assert set(findings) <= {"R042", "R050", "R020", "R021", "R022", "R024", "R026", "R036", "R044", *BUSY}, findings
