"""Two supervisors at once: clocks start together, each log tells the other's, and neither is left behind."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from oildrop.harness.beside import Together, meet
from oildrop.harness.clock import HostClock, RunClock
from oildrop.harness.ending import Ending
from oildrop.harness.job import Job
from oildrop.harness.supervisor import supervise
from oildrop.harness.system.probe import probe_system
from oildrop.results.bundle.read import read_bundle
from oildrop.results.bundle.write import BundleWriter
from oildrop.rules import keys
from oildrop.rules.evidence import Evidence
from oildrop.rules.records import Colocation, Limits, RunSpec

FAKES = Path(__file__).parent / "fakes"
IDS = ("20261122-000000-000000-aaaaaa", "20261122-000000-000000-bbbbbb")


class Signals:
    """Who asked for an end, set by a test."""

    def __init__(self) -> None:
        self.asked_by: str | None = None


class Quiet:
    """Nobody listens."""

    def phase(self, name: str) -> None:
        """Nothing."""

    def evaluated(self, samples: int, quality: float | None) -> None:
        """Nothing."""

    def served(self, answered: int) -> None:
        """Nothing."""


def make_job(root: Path, own: str, other: str, way: str) -> Job:
    spec = RunSpec(
        run_id=own,
        created_utc="2026-11-22T00:00:00Z",
        benchmark="toy",
        benchmark_sha256="0" * 64,
        tier="nano",
        division="closed",
        backend="torch-cpu",
        kind="fixed_work",
        settings={},
        seed=1,
        limits=Limits(deadline_s=30.0, heartbeat_s=20.0, stall_s=20.0),
        workload_id="w",
        system_id="s",
        software_id="s",
        set_id="s",
        session_id="s",
        colocation=Colocation(
            experiment_id=IDS[0], pair=1, beside_run_id=other, beside_workload_id="w", beside="toy nano"
        ),
        oildrop_version="0",
    )
    return Job(
        spec=spec,
        writer=BundleWriter.create(root / "runs" / own, spec, probe_system(), {"toy.toml": b"a = 1\n"}),
        store_root=root,
        reserve=root / "reserve.bin",
        salt="",
        redact=lambda value: value,
        step_cost_s=None,
        environment={"FAKE_WORKER": way, "PYTHONPATH": str(FAKES)},
        worker_module="fake_worker",
    )


def both(tmp_path: Path, ways: tuple[str, str], signals: Signals, stop_after_s: float | None = None) -> list[Evidence]:
    """Run two fakes at once; the logs that they left."""
    (tmp_path / "meet").mkdir()
    together = Together(tmp_path / "meet", signals)
    jobs = [make_job(tmp_path, IDS[k], IDS[1 - k], ways[k]) for k in (0, 1)]

    def follow(place: int) -> None:
        side = together.side(IDS[place], IDS[1 - place])
        side.ended(supervise(replace(jobs[place], beside=side), Quiet()))

    threads = [threading.Thread(target=follow, args=(place,)) for place in (0, 1)]
    for thread in threads:
        thread.start()
    if stop_after_s is not None:
        time.sleep(stop_after_s)
        signals.asked_by = "SIGINT"
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    return [read_bundle(job.writer.path) for job in jobs]


def outcome_of(evidence: Evidence) -> tuple[object, str | None]:
    event = evidence.last(keys.OUTCOME)
    assert event is not None
    return event.value, event.meta["reason"]


def test_clocks_start_together_and_each_log_has_the_others_on_its_own(tmp_path: Path) -> None:
    short, long = both(tmp_path, ("timed", "timed_long"), Signals())
    windows = []
    for evidence, other in ((short, IDS[1]), (long, IDS[0])):
        own = [evidence.first(key) for key in (keys.RUN_START, keys.RUN_STOP)]
        beside = evidence.last(keys.BESIDE)
        assert beside is not None and own[0] is not None and own[1] is not None
        assert (beside.value, beside.meta["clock_bound_ns"]) == (other, 1)
        assert abs(beside.meta["run_start_ns"] - own[0].t_ns) < 300_000_000
        stop_ns = beside.meta["run_stop_ns"]
        start_ns = max(own[0].t_ns, beside.meta["run_start_ns"])
        windows.append(min(own[1].t_ns, own[1].t_ns if stop_ns is None else stop_ns) - start_ns)
    assert windows[0] == windows[1]  # one monotonic clock: both logs tell the same overlap to the nanosecond
    assert [outcome_of(each)[0] for each in (short, long)] == ["ok", "ok"]


@pytest.mark.parametrize(("way", "outcome"), [("exit_3", "crash"), ("killed", "crash"), ("diverged", "diverged")])
def test_the_other_ends_where_one_never_stopped_its_clock_and_both_say_why(
    tmp_path: Path, way: str, outcome: str
) -> None:
    failed, other = both(tmp_path, (way, "stalled"), Signals())
    assert outcome_of(failed)[0] == outcome
    ended, reason = outcome_of(other)
    assert ended == "cancelled"
    assert f"the run beside it, {IDS[0]}, which ended as {outcome}" in str(reason)
    beside = other.last(keys.BESIDE)
    assert beside is not None
    assert (beside.meta["run_start_ns"], beside.meta["outcome"]) == (None, outcome)


def test_a_signal_ends_both_within_two_seconds(tmp_path: Path) -> None:
    began_s = time.monotonic()
    found = both(tmp_path, ("stalled", "stalled"), Signals(), stop_after_s=1.0)
    assert [outcome_of(each) for each in found] == [("cancelled", "stopped by SIGINT")] * 2
    assert time.monotonic() - began_s < 1.0 + 2.0 + 2.0  # two seconds, and two more to start both


def test_one_that_ended_well_does_not_stop_the_other(tmp_path: Path) -> None:
    signals = Signals()
    together = Together(tmp_path, signals)
    side = together.side("b", "a")
    together.side("a", "b").heard(keys.RUN_STOP, 5)
    together.side("a", "b").ended(Ending(outcome="crash", reason="after its clock", evidence={}))
    assert side.asked_by is None
    signals.asked_by = "SIGTERM"
    assert side.asked_by == "SIGTERM"


def test_news_of_a_clock_that_goes_on_are_not_waited_for_longer_than_they_take(tmp_path: Path) -> None:
    clock = RunClock(HostClock())
    together = Together(tmp_path, Signals())
    own, other = together.side("a", "b"), together.side("b", "a")
    other.heard(keys.RUN_START, clock.start_ns + 7)
    own.heard(keys.RUN_STOP, clock.start_ns + 10)
    other.heard(keys.HEARTBEAT, clock.start_ns + 2 * 10**9)
    began_s = time.monotonic()
    assert own.seen(clock)[1] == {"run_start_ns": 7, "run_stop_ns": None, "outcome": None, "clock_bound_ns": 1}
    assert time.monotonic() - began_s < 0.5


def test_a_worker_waits_for_the_other(tmp_path: Path) -> None:
    def arrive(seconds: float) -> None:
        (tmp_path / "b").touch()

    assert meet(tmp_path, "a", sleep=arrive) >= 0.0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
