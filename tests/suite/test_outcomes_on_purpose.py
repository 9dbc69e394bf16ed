"""Every outcome made on purpose with the real command line, then found in `runs` and on the pages."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

OILDROP = Path(sys.executable).with_name("oildrop")
ONE_THREAD = ("--set", "execution.threads=1")
SMOKE = ("lm-pretrain", "--tier", "smoke", "--backend", "torch-cpu", *ONE_THREAD)
WAIT_S = 100.0


def oildrop(*words: str, store: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([OILDROP, *words, "--store", store], capture_output=True, text=True, timeout=110)


def run_json(*words: str, store: Path) -> tuple[int, dict[str, Any]]:
    done = oildrop("run", *words, "--json", store=store)
    assert done.returncode in (0, 1, 3), done.stderr
    (run,) = json.loads(done.stdout)["runs"]
    return done.returncode, run


def start(*words: str, store: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [OILDROP, "run", *words, "--store", store], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for_event(store: Path, known: set[str], key: str) -> str:
    """The id of the new run once its log holds an event of `key`."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        for log in (store / "runs").glob("*/events.jsonl"):
            if log.parent.name not in known and f'"key":"{key}"' in log.read_text():
                return log.parent.name
        time.sleep(0.05)
    raise AssertionError(f"no event {key} within {WAIT_S} s")


def run_ids(store: Path) -> set[str]:
    return {path.name for path in (store / "runs").glob("*")}


def worker_of(supervisor: subprocess.Popen[str]) -> psutil.Process:
    for child in psutil.Process(supervisor.pid).children():
        if "oildrop.harness.worker" in child.cmdline():
            return child
    raise AssertionError("no worker")


class Story:
    """One store that holds a run of every outcome; `ids` names them."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.ids: dict[str, str] = {}
        self.codes: dict[str, int] = {}

    def keep(self, outcome: str, *words: str) -> None:
        code, run = run_json(*words, store=self.store)
        assert run["outcome"] == outcome, run["reason"]
        self.ids[outcome], self.codes[outcome] = run["run_id"], code

    def keep_struck(self, outcome: str, number: signal.Signals, *, worker: bool) -> None:
        """A run whose worker or supervisor gets a signal while it trains."""
        known = run_ids(self.store)
        process = start("lm-pretrain", "--runs", "1", *ONE_THREAD, store=self.store)
        self.ids[outcome] = wait_for_event(self.store, known, "run_start")
        children = psutil.Process(process.pid).children(recursive=True)
        struck = worker_of(process).pid if worker else process.pid
        os.kill(struck, number)
        process.communicate(timeout=WAIT_S)
        self.codes[outcome] = process.returncode
        _, alive = psutil.wait_procs(children, timeout=2)
        assert [child for child in alive if child.status() != psutil.STATUS_ZOMBIE] == []


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    made = Story(tmp_path_factory.mktemp("story") / "store")
    made.keep("ok", *SMOKE)
    made.keep(
        "target_missed",
        "lm-pretrain",
        "--runs",
        "1",
        *ONE_THREAD,
        "--division",
        "open",
        "--set",
        "limit.cap_samples=96",
    )
    made.keep("diverged", *SMOKE, "--division", "open", "--set", "optimizer.learning_rate=1e12")
    made.keep("oom", *SMOKE, "--memory-limit", "64MiB")
    made.keep("timeout", *SMOKE, "--timeout", "0.5")
    made.keep("unsupported", "lm-pretrain", "--tier", "smoke", "--backend", "torch-rocm")
    made.keep_struck("crash", signal.SIGKILL, worker=True)
    made.keep_struck("cancelled", signal.SIGINT, worker=False)
    made.keep_struck("lost", signal.SIGKILL, worker=False)
    tampered = made.store.parent / "tampered"
    shutil.copytree(made.store / "runs" / made.ids["ok"], tampered)
    shutil.rmtree(made.store / "runs" / made.ids["ok"])
    log = tampered / "events.jsonl"
    log.write_bytes(log.read_bytes().replace(b'"steps":', b'"stepz":', 1))
    made.ids["invalid"] = made.ids.pop("ok")
    assert oildrop("rebuild", store=made.store).returncode == 0
    assert oildrop("ingest", str(tampered), store=made.store).returncode == 0
    made.keep("ok", *SMOKE)
    return made


OUTCOMES = (
    "ok", "target_missed", "diverged", "oom", "timeout", "unsupported", "crash", "cancelled", "lost", "invalid",
)  # fmt: skip


@pytest.mark.timeout(400)
def test_every_outcome_is_in_runs_with_its_reason(story: Story) -> None:
    done = oildrop("runs", "--json", store=story.store)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["schema"] == "oildrop.runs/1"
    found = {run["run_id"]: run for run in document["runs"]}
    assert len(found) == len(document["runs"]) == len(OUTCOMES)
    for outcome in OUTCOMES:
        run = found[story.ids[outcome]]
        assert run["outcome"] == outcome
        assert bool(run["reason"]) == (outcome != "ok")


def test_exit_codes_say_what_happened(story: Story) -> None:
    assert story.codes == {
        "ok": 0, "target_missed": 1, "diverged": 1, "oom": 1, "timeout": 1, "unsupported": 3, "crash": 1,
        "cancelled": 1, "lost": -signal.SIGKILL,
    }  # fmt: skip


def test_every_outcome_is_on_the_page_and_each_failure_on_the_failures_page(story: Story, tmp_path: Path) -> None:
    done = oildrop("site", "build", "--out", str(tmp_path / "page"), store=story.store)
    assert done.returncode == 0, done.stderr
    index = (tmp_path / "page" / "index.html").read_text()
    failures = (tmp_path / "page" / "failures.html").read_text()
    for outcome in OUTCOMES:
        assert story.ids[outcome] in index
        assert (story.ids[outcome] in failures) == (outcome != "ok")


def test_check_tells_intact_from_broken(story: Story) -> None:
    for outcome in OUTCOMES:
        done = oildrop("check", story.ids[outcome], store=story.store)
        assert done.returncode == (1 if outcome in ("lost", "invalid") else 0), (outcome, done.stdout)


def test_a_lost_run_is_whole_up_to_its_last_line(story: Story) -> None:
    done = oildrop("check", story.ids["lost"], "--json", store=story.store)
    rules = {finding["rule"] for finding in json.loads(done.stdout)["findings"]}
    assert "R024" in rules
    assert "R002" not in rules


def test_seeds_number_on_and_failures_consume_theirs(story: Story) -> None:
    document = json.loads(oildrop("runs", "--json", store=story.store).stdout)
    nano = [run for run in document["runs"] if run["tier"] == "nano" and run["division"] == "closed"]
    assert sorted(run["seed_index"] for run in nano) == [0, 1, 2]
