"""The supervisor over workers that misbehave: every end is recorded with its reason, and nothing is left behind."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from oildrop.harness import attempt, supervisor
from oildrop.harness.child import WorkerProcess
from oildrop.harness.ending import Ending
from oildrop.harness.job import Job
from oildrop.harness.supervisor import supervise
from oildrop.harness.system.probe import probe_system
from oildrop.results.bundle.read import read_bundle
from oildrop.results.bundle.write import BundleWriter
from oildrop.rules import keys
from oildrop.rules.evidence import Evidence
from oildrop.rules.records import Limits, RunSpec

FAKES = Path(__file__).parent / "fakes"


class Quiet:
    """An observer that only counts."""

    phases = 0

    def phase(self, name: str) -> None:
        self.phases += 1

    def evaluated(self, samples: int, quality: float | None) -> None:
        """Nothing."""

    def served(self, answered: int) -> None:
        """Nothing."""


def make_job(tmp_path: Path, way: str, *, memory_bytes: int | None = None, **limits: float) -> Job:
    spec = RunSpec(
        run_id="20261122-000000-000000-aaaaaa",
        created_utc="2026-11-22T00:00:00Z",
        benchmark="toy",
        benchmark_sha256="0" * 64,
        tier="nano",
        division="closed",
        backend="torch-cpu",
        kind="to_target",
        settings={"optimizer.name": "adamw"},
        seed=1,
        limits=Limits(
            **{"deadline_s": 30.0, "heartbeat_s": 20.0, "stall_s": 20.0, **limits}, memory_bytes=memory_bytes
        ),
        workload_id="w",
        system_id="s",
        software_id="s",
        set_id="s",
        session_id="s",
        oildrop_version="0",
    )
    writer = BundleWriter.create(tmp_path / "runs" / spec.run_id, spec, probe_system(), {"toy.toml": b"a = 1\n"})
    return Job(
        spec=spec,
        writer=writer,
        store_root=tmp_path,
        reserve=tmp_path / "reserve.bin",
        salt="",
        redact=lambda value: value,
        step_cost_s=1e-6,
        environment={"FAKE_WORKER": way, "PYTHONPATH": str(FAKES)},
        worker_module="fake_worker",
    )


def ended(job: Job) -> tuple[Ending, Evidence]:
    ending = supervise(job, Quiet())
    evidence = read_bundle(job.writer.path)
    assert evidence.problems == ()
    assert evidence.sealed
    last = evidence.events[-1]
    assert (last.key, last.value) == (keys.OUTCOME, ending.outcome)
    return ending, evidence


def test_all_that_telemetry_needs_is_loaded_before_a_worker_speaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the first row is: a run_start that comes meanwhile is received seconds late, and R014 calls it invalid."""
    order: list[str] = []

    def spawn(*words: Any, **more: Any) -> WorkerProcess:
        order.append("worker")
        return WorkerProcess(*words, **more)

    monkeypatch.setattr(supervisor, "load_telemetry", lambda: order.append("loaded"))
    monkeypatch.setattr(attempt, "WorkerProcess", spawn)
    ended(make_job(tmp_path, "diverged"))
    assert order == ["loaded", "worker"]


@pytest.mark.parametrize(
    ("way", "limits", "outcome", "reason"),
    [
        ("diverged", {}, "diverged", "training loss is nan"),
        ("exit_3", {}, "crash", "exit code 3"),
        ("killed", {}, "crash", "SIGKILL"),
        ("silent", {"heartbeat_s": 0.5}, "timeout", "no heartbeat"),
        ("stopped", {"heartbeat_s": 0.5}, "timeout", "no heartbeat"),
        ("silent", {"deadline_s": 0.5}, "timeout", "the deadline passed"),
        ("stalled", {"stall_s": 0.5}, "timeout", "no progress"),
        ("greedy", {"memory_bytes": 100 * 2**20}, "oom", "--memory-limit"),
        ("garbage", {}, "crash", "not a worker's message"),
    ],
)
def test_every_end_is_recorded(tmp_path: Path, way: str, limits: dict[str, Any], outcome: str, reason: str) -> None:
    ending, evidence = ended(make_job(tmp_path, way, **limits))
    assert ending.outcome == outcome
    assert reason in str(ending.reason)
    assert evidence.events[-1].meta["reason"] == ending.reason


def test_what_the_worker_printed_stays_in_its_log(tmp_path: Path) -> None:
    job = make_job(tmp_path, "exit_3")
    ended(job)
    assert (job.writer.path / "output.log").read_text() == "something went wrong at home\n"


def test_a_run_that_cannot_start_is_recorded_without_a_worker(tmp_path: Path) -> None:
    job = make_job(tmp_path, "diverged")
    job = Job(**{**job.__dict__, "unsupported_reason": "no such framework"})
    ending, evidence = ended(job)
    assert (ending.outcome, ending.reason) == ("unsupported", "no such framework")
    assert evidence.all(keys.PROCESS) == ()


def test_many_messages_arrive_in_order(tmp_path: Path) -> None:
    ending, evidence = ended(make_job(tmp_path, "chatty"))
    assert ending.outcome == "ok"
    beats = [event.value for event in evidence.all(keys.HEARTBEAT)]
    assert beats == list(range(20_000))


def test_children_of_the_worker_end_with_it(tmp_path: Path) -> None:
    ending, evidence = ended(make_job(tmp_path, "parent", deadline_s=3.0))
    assert ending.outcome == "timeout"
    child = evidence.first(keys.RUNTIME)
    assert child is not None
    assert not psutil.pid_exists(child.value) or psutil.Process(child.value).status() == psutil.STATUS_ZOMBIE


def test_ctrl_c_is_recorded_as_cancelled(tmp_path: Path) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with it ignored
    job = make_job(tmp_path, "stalled")
    timer = threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    ending, _ = ended(job)
    timer.join()
    assert (ending.outcome, ending.reason) == ("cancelled", "stopped by SIGINT")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_full_disk_frees_the_reserve_and_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(tmp_path, "stalled")
    job.reserve.write_bytes(b"r" * 1000)
    append = job.writer.append

    def append_on_a_full_disk(**event: Any) -> Any:
        if event["key"] == keys.HEARTBEAT and job.reserve.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        return append(**event)

    monkeypatch.setattr(job.writer, "append", append_on_a_full_disk)
    ending, evidence = ended(job)
    assert (ending.outcome, ending.reason) == ("crash", "disk_full")
    assert not job.reserve.exists()
    assert evidence.all(keys.HEARTBEAT) == ()


def test_a_clock_set_back_is_in_the_log(tmp_path: Path) -> None:
    class SetBack:
        """A wall clock that loses an hour after half a second."""

        def __init__(self) -> None:
            self.start_ns = time.monotonic_ns()

        def monotonic_ns(self) -> int:
            return time.monotonic_ns()

        def boottime_ns(self) -> int:
            return time.monotonic_ns()

        def wall_ns(self) -> int:
            late = time.monotonic_ns() - self.start_ns > 500_000_000
            return time.time_ns() - (3600 * 10**9 if late else 0)

    job = make_job(tmp_path, "stalled", deadline_s=1.8)
    supervise(job, Quiet(), SetBack())
    (event,) = read_bundle(job.writer.path).all(keys.CLOCK)
    assert (event.value, round(event.meta["by_s"])) == ("set_back", 3600)


def test_two_runs_on_one_device_see_each_other(tmp_path: Path) -> None:
    first, second = (
        make_job(tmp_path / "a", "stalled", deadline_s=2.0),
        make_job(tmp_path / "b", "stalled", deadline_s=2.0),
    )
    second = Job(
        **{**second.__dict__, "spec": second.spec.model_copy(update={"run_id": "20261122-000000-000000-bbbbbb"})}
    )
    threads = [threading.Thread(target=supervise, args=(job, Quiet())) for job in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = [read_bundle(job.writer.path).first(keys.OTHER_RUN) for job in (first, second)]
    assert [event.value for event in seen if event is not None] == [second.spec.run_id, first.spec.run_id]


def test_meters_say_what_they_are_and_telemetry_is_kept(tmp_path: Path) -> None:
    _, evidence = ended(make_job(tmp_path, "stalled", deadline_s=1.5))
    assert {event.value for event in evidence.all(keys.METER)} >= {"process"}
    quantities = {series.quantity for series in evidence.series}
    assert {"cpu_s", "rss_bytes"} <= quantities
