"""Runs one registered run to its recorded end, whatever happens to its worker.

The supervisor opens the log, makes one attempt or, after crashes, several (`attempt`), and seals the bundle. Every way
out of here leaves a log whose last word says how the run ended.
"""

from __future__ import annotations

import os
from pathlib import Path

from oildrop.harness.attempt import Attempt, SoFar
from oildrop.harness.beside import Asked
from oildrop.harness.clock import Clock, HostClock, RunClock
from oildrop.harness.ending import EndFacts, Ending, ending_of, signal_name
from oildrop.harness.host_looks import HostLooks
from oildrop.harness.idle import IdleTime
from oildrop.harness.interrupts import Interrupts
from oildrop.harness.job import Job, Observer
from oildrop.harness.kernel import oom_kills
from oildrop.harness.presence import Presence
from oildrop.harness.ranks.checkpoints import newest
from oildrop.harness.recorder import Recorder
from oildrop.harness.reserve import free_reserve, is_disk_full
from oildrop.harness.surroundings import checkpoint_folder, device_name, fresh_caches, optimizer_events
from oildrop.results.bundle.telemetry import load_telemetry
from oildrop.results.layout import StoreLayout
from oildrop.rules import keys


def supervise(job: Job, observer: Observer, clock: Clock | None = None) -> Ending:
    """Run the job to its end, record and seal it; returns what the log claims.

    Raises:
        OSError: Even the freed reserve did not make room for the last words.
    """
    with Interrupts() as interrupts:
        if job.unsupported_reason is None:
            load_telemetry()  # while it loads, nothing that a worker says would be received
        supervision = _Supervision(job, observer, RunClock(clock or HostClock()))
        try:
            ending = supervision.run(job.beside or interrupts)
        except OSError as error:
            if not is_disk_full(error):
                raise
            free_reserve(job.reserve)
            ending = supervision.record_disk_full()
        try:
            job.writer.seal()
        except OSError as error:
            if not is_disk_full(error):
                raise
            free_reserve(job.reserve)
            job.writer.seal()
    return ending


class _Supervision:
    """The state of one run under supervision."""

    def __init__(self, job: Job, observer: Observer, clock: RunClock) -> None:
        self._job = job
        self._observer = observer
        self._clock = clock
        self._recorder = Recorder(job.writer, clock, job.redact)
        self._idle = IdleTime(job.spec, job.salt, job.writer, self._recorder, start_ns=clock.start_ns)
        alone = job.unsupported_reason is None and job.beside is None
        self._host = HostLooks(StoreLayout(job.store_root), job.spec.system_id, self._recorder, with_canary=alone)
        self._so_far = SoFar()
        self._attempt: Attempt | None = None

    def run(self, interrupts: Asked) -> Ending:
        """Everything from the first event to the last word."""
        unsupported = self._job.unsupported_reason
        if unsupported is None:
            self._idle.before(lambda: interrupts.asked_by is not None)
        self._open_log()
        if unsupported is not None:
            facts = EndFacts(
                claim=("unsupported", unsupported),
                breach=None,
                cancelled_by=interrupts.asked_by,
                disk_full=False,
                exit_status=None,
                kernel_oom=False,
            )
            return self._close_log(ending_of(facts))
        return self._close_log(self._run_attempts(interrupts))

    def record_disk_full(self) -> Ending:
        """The last words of a run whose disk was full, once the reserve is freed."""
        status = self._attempt.exit_status if self._attempt is not None else None
        facts = EndFacts(
            claim=None, breach=None, cancelled_by=None, disk_full=True, exit_status=status, kernel_oom=False
        )
        return self._last_word(ending_of(facts))

    def _open_log(self) -> None:
        spec, record = self._job.spec, self._recorder.record
        record(keys.INIT_START)
        record(keys.PHASE, "probe")
        record(keys.SUBMISSION_BENCHMARK, spec.benchmark)
        record(keys.SUBMISSION_DIVISION, spec.division)
        record(keys.SUBMISSION_PLATFORM, spec.system_id, {"backend": spec.backend})
        record(keys.BENCHMARK_SHA256, spec.benchmark_sha256)
        record(keys.CACHE_CLEAR, True)
        for key, value in optimizer_events(spec):
            record(key, value)
        self._host.before()
        self._recorder.sync()

    def _run_attempts(self, interrupts: Asked) -> Ending:
        """The workers' one attempt, and another after each crash as long as restarts are left."""
        spec, restarts = self._job.spec, 0
        with (
            fresh_caches() as caches,
            checkpoint_folder(spec) as checkpoints,
            Presence(spec.run_id, device_name(spec.backend)) as presence,
        ):
            environment = {**os.environ, **caches, **self._job.environment}
            while True:
                attempt = Attempt(
                    self._job,
                    self._observer,
                    self._clock,
                    self._recorder,
                    self._so_far,
                    environment=environment,
                    checkpoints=checkpoints,
                )
                self._attempt = attempt
                kills_before = oom_kills()
                attempt.carry_out(presence, interrupts, self._idle)
                kills_after = oom_kills()
                kernel_oom = kills_before is not None and kills_after is not None and kills_after > kills_before
                ending = ending_of(attempt.facts(interrupts.asked_by, kernel_oom=kernel_oom))
                stopped = keys.RUN_STOP in self._so_far.cpu_marks_s
                if ending.outcome != "crash" or stopped or restarts >= spec.max_restarts:
                    return ending
                restarts += 1
                self._record_restart(restarts, attempt, ending, checkpoints)

    def _record_restart(self, number: int, attempt: Attempt, ending: Ending, checkpoints: Path | None) -> None:
        """Say who fell and where the ranks go on."""
        status = attempt.exit_status
        found = newest(checkpoints) if checkpoints is not None else None
        meta = {
            "rank": attempt.culprit,
            "signal": signal_name(status) if status is not None and status < 0 else None,
            "reason": ending.reason,
            "samples": found.samples if found is not None else 0,
            "steps": found.steps if found is not None else 0,
        }
        self._recorder.record(keys.RESTART, number, meta)
        self._recorder.sync()

    def _close_log(self, ending: Ending) -> Ending:
        if self._so_far.memory_peak_bytes:
            self._recorder.record(keys.MEMORY, self._so_far.memory_peak_bytes, {"scope": "process", "by": "supervisor"})
        if self._job.step_cost_s is not None:
            start_s, stop_s = (self._so_far.cpu_marks_s.get(key) for key in (keys.RUN_START, keys.RUN_STOP))
            spent_s = stop_s - start_s if start_s is not None and stop_s is not None else None
            self._recorder.record(keys.OVERHEAD, self._job.step_cost_s, {"supervisor_cpu_s": spent_s})
        if self._job.beside is not None:
            self._recorder.record(keys.BESIDE, *self._job.beside.seen(self._clock))
        self._host.after()
        return self._last_word(ending)

    def _last_word(self, ending: Ending) -> Ending:
        self._recorder.record(keys.OUTCOME, ending.outcome, ending.evidence)
        self._recorder.sync()
        return ending
