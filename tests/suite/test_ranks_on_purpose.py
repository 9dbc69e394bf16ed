"""Runs of several ranks with the real command line: to the end, killed, restarted, disagreeing, and refused."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from oildrop.results.bundle.read import read_bundle
from oildrop.rules import keys
from oildrop.rules.evidence import Evidence
from oildrop.rules.judge import judge
from oildrop.rules.loading import load_rulebook
from oildrop.suite import execute
from oildrop.suite.cli.main import main

OILDROP = Path(sys.executable).with_name("oildrop")
FAKES = Path(__file__).parents[1] / "harness" / "fakes"
CPU = ("--backend", "torch-cpu", "--set", "execution.threads=1")
TWO = (*CPU, "--set", "execution.devices=2")
SMALL = ("--division", "open", "--set", "model.layers=1")
SMOKE = ("lm-pretrain", "--tier", "smoke")
WAIT_S = 100.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def only_run(store: Path) -> Evidence:
    (folder,) = (store / "runs").iterdir()
    return read_bundle(folder)


def metrics(evidence: Evidence) -> dict[str, Any]:
    return {metric.name: metric.value for metric in judge(evidence, load_rulebook()).metrics}


def wait_for(store: Path, key: str, count: int) -> Evidence:
    """The run once its log holds `count` events of `key`."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        logs = list((store / "runs").glob("*/events.jsonl"))
        if logs and logs[0].read_text().count(f'"key":"{key}"') >= count:
            return only_run(store)
        time.sleep(0.05)
    raise AssertionError(f"no {count} events {key} within {WAIT_S} s")


def pid_of(evidence: Evidence, rank: int) -> int:
    return next(int(event.meta["pid"]) for event in evidence.all(keys.PROCESS) if event.meta["rank"] == rank)


class Strike(threading.Thread):
    """Kills a rank once the run has made its second evaluation, and with it a checkpoint; notes when."""

    def __init__(self, store: Path, rank: int) -> None:
        super().__init__(daemon=True)
        self._store, self._rank = store, rank
        self.at_s = 0.0
        self.pids: list[int] = []

    def run(self) -> None:
        evidence = wait_for(self._store, keys.EVAL_ACCURACY, 2)
        self.pids = [int(event.meta["pid"]) for event in evidence.all(keys.PROCESS)]
        self.at_s = time.monotonic()
        os.kill(pid_of(evidence, self._rank), signal.SIGKILL)


def test_two_ranks_make_one_run(tmp_path: Path) -> None:
    assert main(["run", *SMOKE, *TWO, "--store", str(tmp_path)]) == 0
    evidence = only_run(tmp_path)
    judgement = judge(evidence, load_rulebook())
    found = metrics(evidence)
    assert judgement.outcome == "ok"
    assert found["train_tokens_per_s_per_device"] == pytest.approx(found["train_tokens_per_s"] / 2)
    assert found["restarts"] == 0
    assert "R032" not in {finding.rule for finding in judgement.findings}
    assert [(process.role, process.node, process.rank) for process in evidence.spec.processes] == [
        ("worker", 0, 0),
        ("worker", 0, 1),
    ]
    for key in (keys.PROCESS, keys.WEIGHTS_SHA256, keys.BATCH_SHA256, keys.BENCHMARK_SHA256):
        said = {event.value if key == keys.PROCESS else event.proc for event in evidence.all(key)}
        assert said >= {"worker-0", "worker-1"}
    marks = (keys.RUN_START, keys.RUN_STOP, keys.BLOCK_STOP, keys.EVAL_ACCURACY, keys.CHUNK)
    assert {event.proc for key in marks for event in evidence.all(key)} == {"worker-0"}
    assert len({event.value for event in evidence.all(keys.BATCH_SHA256) if event.meta["batches"] == 20}) == 1


def test_a_killed_rank_ends_the_run_within_seconds_and_leaves_nobody(tmp_path: Path) -> None:
    strike = Strike(tmp_path, rank=1)
    strike.start()
    assert main(["run", "lm-pretrain", "--runs", "1", *TWO, *SMALL, "--store", str(tmp_path)]) == 1
    took_s = time.monotonic() - strike.at_s
    strike.join()
    last = only_run(tmp_path).events[-1]
    assert (last.value, last.meta["reason"]) == ("crash", "rank 1 was ended by SIGKILL without a word")
    assert took_s < 10
    alive = [pid for pid in strike.pids if psutil.pid_exists(pid)]
    assert [pid for pid in alive if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.parametrize("devices", [1, 2])
def test_restarted_ranks_go_on_to_the_end_and_the_clock_runs_on(tmp_path: Path, devices: int) -> None:
    changed = (*SMALL, "--set", "limit.cap_samples=1200", "--max-restarts", "1")
    strike = Strike(tmp_path, rank=devices - 1)
    strike.start()
    words = ["run", "lm-pretrain", "--runs", "1", *CPU, "--set", f"execution.devices={devices}", *changed]
    assert main([*words, "--store", str(tmp_path)]) == 1  # the target is out of reach of so few samples
    strike.join()
    evidence = only_run(tmp_path)
    judgement = judge(evidence, load_rulebook())
    assert judgement.outcome == "target_missed"
    assert [len(evidence.all(key)) for key in (keys.RUN_START, keys.RUN_STOP, keys.RESTART)] == [1, 1, 1]
    (restart,) = evidence.all(keys.RESTART)
    assert (restart.meta["rank"], restart.meta["signal"]) == (devices - 1, "SIGKILL")
    assert restart.meta["samples"] == 8 * restart.meta["steps"] > 0
    assert {finding.rule for finding in judgement.findings} & {"R001", "R005", "R015", "R016", "R032", "R033"} == {
        "R033"
    }
    assert metrics(evidence)["restarts"] == 1
    (finding,) = [finding for finding in judgement.findings if finding.rule == "R033"]
    assert finding.evidence["lost_samples"] == 400  # evaluations come every 400 samples, checkpoints less often
    assert not list(Path("/tmp").glob(f"oildrop-checkpoints-*/{restart.meta['samples']}-*.npz"))


def test_ranks_that_disagree_on_the_rulebook_end_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(FAKES))
    monkeypatch.setattr(execute, "Job", functools.partial(execute.Job, worker_module="other_rulebook"))
    assert main(["run", *SMOKE, *TWO, "--store", str(tmp_path)]) == 1
    evidence = only_run(tmp_path)
    judgement = judge(evidence, load_rulebook())
    assert judgement.outcome == "crash"
    assert str(judgement.reason).startswith("rank 1: OildropError: the rulebook's lm-pretrain changed")
    (finding,) = [finding for finding in judgement.findings if finding.rule == "R032"]
    assert "worker-1 has other benchmark file than" in finding.message


def test_a_batch_that_the_devices_cannot_share_is_refused(tmp_path: Path) -> None:
    words = [OILDROP, "run", *SMOKE, "--backend", "torch-cpu", "--set", "execution.devices=3", "--store", tmp_path]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "execution.devices = 3 does not divide data.documents_per_batch = 8" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_what_is_planned_repeats_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", *SMOKE, *TWO, "--max-restarts", "2", "--dry-run", "--json", "--store", str(tmp_path)]
    assert main(words) == 0
    assert "--max-restarts" in json.dumps(json.loads(capsys.readouterr().out))


def test_ranks_end_with_their_supervisor(tmp_path: Path) -> None:
    words = [OILDROP, "run", "lm-pretrain", "--runs", "1", *TWO, *SMALL, "--store", tmp_path]
    supervisor = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        evidence = wait_for(tmp_path, keys.RUN_START, 1)
        children = psutil.Process(supervisor.pid).children(recursive=True)
    finally:
        supervisor.kill()
        supervisor.wait()
    assert {pid_of(evidence, rank) for rank in (0, 1)} < {child.pid for child in children}
    _, alive = psutil.wait_procs(children, timeout=2)
    assert [child for child in alive if child.status() != psutil.STATUS_ZOMBIE] == []
