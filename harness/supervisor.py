"""Runs one registered run to its recorded end, whatever happens to its worker.

The supervisor spawns the worker, writes the event chain from what the worker says, samples the meters, keeps
the limits, and seals the bundle. Every way out of here leaves a log whose last word says how it ended.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from oildrop.harness.beside import Asked, Beside
from oildrop.harness.child import WorkerProcess
from oildrop.harness.clock import Clock, HostClock, RunClock
from oildrop.harness.ending import EndFacts, Ending, ending_of, signal_name
from oildrop.harness.host_looks import HostLooks
from oildrop.harness.idle import IdleTime
from oildrop.harness.inbox import Inbox
from oildrop.harness.interrupts import Interrupts
from oildrop.harness.kernel import oom_kills
from oildrop.harness.messages import RANK_ENDED, Message
from oildrop.harness.metering import Metering
from oildrop.harness.presence import Presence
from oildrop.harness.ranks.checkpoints import newest
from oildrop.harness.ranks.crew import Crew
from oildrop.harness.ranks.hub import Hub
from oildrop.harness.ranks.launch import Launch, command_of, devices_of, launch_of
from oildrop.harness.recorder import Recorder
from oildrop.harness.reserve import free_reserve, is_disk_full
from oildrop.harness.surroundings import checkpoint_folder, device_name, fresh_caches, optimizer_events
from oildrop.harness.system.device_ids import salted_id
from oildrop.harness.watch import Breach, Watch
from oildrop.results.bundle.telemetry import load_telemetry
from oildrop.results.bundle.write import BundleWriter
from oildrop.results.layout import StoreLayout
from oildrop.rules import keys
from oildrop.rules.errors import BundleError
from oildrop.rules.records import RunSpec

WORKER_MODULE = "oildrop.harness.worker"
OF_ANOTHER_MACHINE = ("system", "clock_ahead_ns", "clock_bound_ns")
"""What a process on another machine says of it: nothing that this one could find out."""

TICK_S = 0.1
LOOK_S = 0.5
"""How often memory, clocks and neighbours are looked at."""
EXIT_WAIT_S = 5.0
CAUSE_WAIT_S = 2.0
"""How long is waited once a rank has failed: what killed the first is often heard after the others' errors."""


class Observer(Protocol):
    """Who is told how a run gets on."""

    def phase(self, name: str) -> None:
        """The worker began phase `name`."""

    def evaluated(self, samples: int, quality: float | None) -> None:
        """An evaluation after `samples` samples gave `quality`."""

    def served(self, answered: int) -> None:
        """So many requests have been answered."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One registered run and what its supervisor needs.

    Attributes:
        step_cost_s: The harness's cost a step as calibrated on this host, seconds; None where that failed.
        keep_weights: Folder that gets the trained weights, as `<run_id>.safetensors`; None keeps none.
        unsupported_reason: Set where the run cannot start: it is recorded as `unsupported` without a worker.
        environment: Variables that the worker gets beside this process's own.
        beside: The run that shares the device, where one was declared; it stands for signals too.
    """

    spec: RunSpec
    writer: BundleWriter
    store_root: Path
    reserve: Path
    salt: str
    redact: Callable[[Any], Any]
    step_cost_s: float | None
    keep_weights: Path | None = None
    unsupported_reason: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    worker_module: str = WORKER_MODULE
    beside: Beside | None = None


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
        self._host = HostLooks(
            StoreLayout(job.store_root), job.spec.system_id, self._recorder, sings=job.unsupported_reason is None
        )
        self._watch = Watch(job.spec.limits)
        self._launch = Launch()
        self._crew = Crew(1)
        self._memory_peak_bytes = 0
        self._seen_neighbours: set[str] = set()
        self._cpu_marks_s: dict[str, float] = {}
        self._metering: Metering | None = None
        self._breach: Breach | None = None
        self._exit_status: int | None = None
        self._restarts = 0
        self._device_uuids: dict[int, list[str]] = {}
        self._uuids_beside: list[str] = []

    def run(self, interrupts: Asked) -> Ending:
        """Everything from the first event to the last word."""
        if self._job.unsupported_reason is None:
            self._idle.before(lambda: interrupts.asked_by is not None)
        self._open_log()
        if self._job.unsupported_reason is not None:
            self._crew.claims(0, "unsupported", self._job.unsupported_reason)
            return self._close_log(ending_of(self._facts(interrupts, kernel_oom=False)))
        return self._close_log(self._run_attempts(interrupts))

    def _facts(self, interrupts: Asked, *, kernel_oom: bool) -> EndFacts:
        """What is known at the end of an attempt."""
        end = self._crew.first_end
        return EndFacts(
            claim=self._crew.claim(),
            breach=self._breach,
            cancelled_by=interrupts.asked_by,
            disk_full=False,
            exit_status=self._exit_status if end is None else end.status,
            kernel_oom=kernel_oom,
            rank=None if end is None else end.rank,
        )

    def record_disk_full(self) -> Ending:
        """The last words of a run whose disk was full, once the reserve is freed."""
        facts = EndFacts(
            claim=None, breach=None, cancelled_by=None, disk_full=True, exit_status=self._exit_status, kernel_oom=False
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
        spec = self._job.spec
        with (
            fresh_caches() as caches,
            checkpoint_folder(spec) as checkpoints,
            Presence(spec.run_id, device_name(spec.backend)) as presence,
        ):
            while True:
                kills_before = oom_kills()
                self._run_workers({**os.environ, **caches, **self._job.environment}, checkpoints, presence, interrupts)
                kills_after = oom_kills()
                kernel_oom = kills_before is not None and kills_after is not None and kills_after > kills_before
                ending = ending_of(self._facts(interrupts, kernel_oom=kernel_oom))
                stopped = keys.RUN_STOP in self._cpu_marks_s
                if ending.outcome != "crash" or stopped or self._restarts >= spec.max_restarts:
                    return ending
                self._record_restart(ending, checkpoints)

    def _run_workers(
        self, environment: Mapping[str, str], checkpoints: Path | None, presence: Presence, interrupts: Asked
    ) -> None:
        """One attempt: launch, follow, end."""
        job = self._job
        self._begin(launch_of(job.spec.backend, job.spec.settings, environment))
        with ExitStack() as stack:
            inbox = Hub() if self._launch.launcher else Inbox()
            stack.callback(inbox.close)
            words = (str(job.writer.path), inbox.address, *self._orders(checkpoints))
            worker = stack.enter_context(
                WorkerProcess(
                    command_of(self._launch, job.spec.backend, job.worker_module, inbox.address, words),
                    job.writer.path / "output.log",
                    {**environment, **self._launch.environment},
                    inherited=inbox.inherited,
                )
            )
            inbox.started(worker.exit_status)
            try:
                self._follow(worker, inbox, presence, interrupts)
            finally:
                self._exit_status = worker.end()
                if self._metering is not None:
                    if keys.RUN_STOP in self._cpu_marks_s:
                        self._idle.after(self._metering, lambda: interrupts.asked_by is not None)
                    self._metering.stop()

    def _begin(self, launch: Launch) -> None:
        """Nothing is known of a new attempt's ranks."""
        self._launch, self._crew, self._device_uuids, self._metering = launch, Crew(launch.ranks), {}, None
        now_ns = self._clock.now_ns()
        self._watch.heard(now_ns)
        self._watch.entered("probe", now_ns)

    def _orders(self, checkpoints: Path | None) -> Iterator[str]:
        """What a worker is told beside its run and channel."""
        if checkpoints is not None:
            yield from ("--checkpoints", str(checkpoints))
        if self._job.keep_weights is not None:
            yield from ("--keep-weights", str(self._job.keep_weights / f"{self._job.spec.run_id}.safetensors"))
        if keys.RUN_START in self._cpu_marks_s:
            yield "--resume"
        elif self._job.beside is not None:
            yield from self._job.beside.orders()

    def _record_restart(self, ending: Ending, checkpoints: Path | None) -> None:
        """Say who fell and where the ranks go on."""
        self._restarts += 1
        end = self._crew.first_end
        status = self._exit_status if end is None else end.status
        found = newest(checkpoints) if checkpoints is not None else None
        meta = {
            "rank": self._crew.culprit,
            "signal": signal_name(status) if status is not None and status < 0 else None,
            "reason": ending.reason,
            "samples": found.samples if found is not None else 0,
            "steps": found.steps if found is not None else 0,
        }
        self._recorder.record(keys.RESTART, self._restarts, meta)
        self._recorder.sync()

    def _follow(self, worker: WorkerProcess, inbox: Inbox | Hub, presence: Presence, interrupts: Asked) -> None:
        """Record what the workers say until they end, break a limit, or somebody asks for an end."""
        look_at_s, failed_at_s = 0.0, math.inf
        while not inbox.closed:
            try:
                for rank, message in inbox.wait(TICK_S):
                    self._receive(rank, message, worker)
            except (ValueError, BundleError) as error:
                self._crew.claims(0, "crash", str(error))
                return
            if self._metering is not None:
                self._metering.write_out()
            if time.monotonic() >= look_at_s:
                look_at_s = time.monotonic() + LOOK_S
                self._look(worker, presence)
            self._breach = self._watch.breach(self._clock.now_ns())
            if interrupts.asked_by is not None or (self._breach is not None and self._crew.claim() is None):
                return
            if self._crew.failed and self._crew.ranks > 1:
                failed_at_s = min(failed_at_s, time.monotonic())
                if self._crew.first_end is not None or time.monotonic() > failed_at_s + CAUSE_WAIT_S:
                    self._breach = None
                    return
        self._breach = None
        worker.wait(EXIT_WAIT_S)

    def _receive(self, rank: int, message: Message, worker: WorkerProcess) -> None:
        now_ns = self._clock.now_ns()
        self._watch.heard(now_ns)
        proc = f"worker-{rank}"
        if message.key == keys.OUTCOME:
            self._crew.claims(rank, str(message.value), message.meta.get("reason"))
            return
        if message.key == RANK_ENDED:
            self._crew.ended(rank, int(message.meta["status"]))
            return
        if message.key == keys.CHUNK:
            self._recorder.receive_chunk(message, proc)
            return
        if message.key == keys.PROCESS:
            if message.meta.get("role") == "prefill":
                self._meet_beside(rank, message)
            else:
                self._meet(rank, message, worker)
            return
        if message.key == keys.HEARTBEAT and rank == 0:
            self._watch.progressed(int(message.value), now_ns)
        if message.key in (keys.RUN_START, keys.RUN_STOP):
            self._cpu_marks_s[message.key] = time.process_time()
        self._recorder.receive(message, proc)
        self._tell(message, now_ns)
        if self._job.beside is not None:
            self._job.beside.heard(message.key, message.monotonic_ns)

    def _tell(self, message: Message, now_ns: int) -> None:
        """Pass on what the watch and the observer want to know."""
        if message.key == keys.PHASE:
            self._watch.entered(str(message.value), now_ns)
            self._observer.phase(str(message.value))
        elif message.key == keys.EVAL_ACCURACY:
            quality = message.value if isinstance(message.value, float | int) else None
            self._observer.evaluated(int(message.meta.get("samples", 0)), quality)
        elif message.key == keys.HEARTBEAT and "answered" in message.meta:
            self._observer.served(int(message.meta["answered"]))

    def _meet(self, rank: int, message: Message, worker: WorkerProcess) -> None:
        """Record a rank and its devices; with the last one the meters of all devices are opened."""
        uuids = [str(uuid) for uuid in message.meta.get("device_uuids", ())]
        self._device_uuids[rank] = uuids
        device_ids = [salted_id(self._job.salt, uuid) for uuid in uuids]
        meta = {"role": "worker", "node": 0, "rank": rank, "pid": message.meta.get("pid"), "device_ids": device_ids}
        self._recorder.record(keys.PROCESS, f"worker-{rank}", meta)
        if len(self._device_uuids) == self._crew.ranks:
            self._start_metering(worker)

    def _meet_beside(self, rank: int, message: Message) -> None:
        """Record a process that works for a rank, on devices of its own or on the rank's."""
        uuids = [str(uuid) for uuid in message.meta.get("device_uuids", ())]
        self._uuids_beside += uuids
        device_ids = [salted_id(self._job.salt, uuid) for uuid in uuids]
        meta = {"role": message.meta["role"], "node": 0, "rank": rank, "pid": message.meta.get("pid")}
        if message.meta.get("elsewhere"):
            meta |= {"node": 1, **{name: message.meta.get(name) for name in OF_ANOTHER_MACHINE}}
        self._recorder.record(keys.PROCESS, str(message.value), meta | {"device_ids": device_ids})

    def _start_metering(self, worker: WorkerProcess) -> None:
        """Open the meters of the devices that the workers drive; of all that are there unless each one is known."""
        uuids = [uuid for rank in sorted(self._device_uuids) for uuid in self._device_uuids[rank]]
        uuids += self._uuids_beside
        if len(set(uuids)) != devices_of(self._job.spec.settings):
            uuids = []
        self._metering = Metering(
            self._job.spec.backend,
            worker.pid,
            device_uuids=tuple(uuids),
            salt=self._job.salt,
            start_ns=self._clock.start_ns,
            writer=self._job.writer,
            recorder=self._recorder,
        )
        self._metering.start()

    def _look(self, worker: WorkerProcess, presence: Presence) -> None:
        """Memory, clocks, neighbours."""
        resident = worker.resident_bytes()
        if resident is not None:
            self._memory_peak_bytes = max(self._memory_peak_bytes, resident)
            self._watch.used(resident)
        for found in self._clock.breaks():
            self._recorder.record(keys.CLOCK, found.kind, {"by_s": round(found.by_s, 3)})
        for neighbour in presence.neighbours():
            if neighbour.run_id not in self._seen_neighbours:
                self._seen_neighbours.add(neighbour.run_id)
                self._recorder.record(keys.OTHER_RUN, neighbour.run_id, {"device": neighbour.device})

    def _close_log(self, ending: Ending) -> Ending:
        if self._memory_peak_bytes:
            self._recorder.record(keys.MEMORY, self._memory_peak_bytes, {"scope": "process", "by": "supervisor"})
        if self._job.step_cost_s is not None:
            start_s, stop_s = (self._cpu_marks_s.get(key) for key in (keys.RUN_START, keys.RUN_STOP))
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
