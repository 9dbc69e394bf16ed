"""One attempt at a run: start its workers, record what they say, sample the meters, keep the limits, end them all."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from oildrop.harness.beside import Asked
from oildrop.harness.child import WorkerProcess
from oildrop.harness.clock import RunClock
from oildrop.harness.ending import EndFacts
from oildrop.harness.idle import IdleTime
from oildrop.harness.inbox import Inbox
from oildrop.harness.job import Job, Observer
from oildrop.harness.messages import RANK_ENDED, Message
from oildrop.harness.metering import Metering
from oildrop.harness.presence import Presence
from oildrop.harness.ranks.crew import Crew
from oildrop.harness.ranks.hub import Hub
from oildrop.harness.ranks.launch import command_of, devices_of, launch_of
from oildrop.harness.recorder import Recorder
from oildrop.harness.system.device_ids import salted_id
from oildrop.harness.watch import Breach, Watch
from oildrop.rules import keys
from oildrop.rules.errors import BundleError

OF_ANOTHER_MACHINE = ("system", "clock_ahead_ns", "clock_bound_ns")
"""What a process on another machine says of it: nothing that this one could find out."""

TICK_S = 0.1
LOOK_S = 0.5
"""How often memory, clocks and neighbours are looked at."""
EXIT_WAIT_S = 5.0
CAUSE_WAIT_S = 2.0
"""How long is waited once a rank has failed: what killed the first is often heard after the others' errors."""


@dataclass(kw_only=True)
class SoFar:
    """What is known of a run over all of its attempts.

    Attributes:
        cpu_marks_s: The supervisor's own processor time at run_start and run_stop, as far as they were heard.
    """

    memory_peak_bytes: int = 0
    seen_neighbours: set[str] = field(default_factory=set)
    cpu_marks_s: dict[str, float] = field(default_factory=dict)


class Attempt:
    """The workers of one attempt. Nothing is known of its ranks at first.

    Args:
        environment: Variables of the workers.
        checkpoints: Folder for what a restart goes on from; None where there is none.
    """

    def __init__(
        self,
        job: Job,
        observer: Observer,
        clock: RunClock,
        recorder: Recorder,
        so_far: SoFar,
        *,
        environment: Mapping[str, str],
        checkpoints: Path | None,
    ) -> None:
        self._job, self._observer, self._clock, self._recorder = job, observer, clock, recorder
        self._so_far, self._environment, self._checkpoints = so_far, environment, checkpoints
        self._launch = launch_of(job.spec.backend, job.spec.settings, environment)
        self._crew = Crew(self._launch.ranks)
        self._watch = Watch(job.spec.limits)
        self._metering: Metering | None = None
        self._breach: Breach | None = None
        self._exit_status: int | None = None
        self._device_uuids: dict[int, list[str]] = {}
        self._uuids_beside: list[str] = []

    @property
    def culprit(self) -> int | None:
        """The rank that failed first, as far as is known."""
        return self._crew.culprit

    @property
    def exit_status(self) -> int | None:
        """Of the rank that ended badly first, else of the worker, as subprocess gives it; None while it runs."""
        end = self._crew.first_end
        return self._exit_status if end is None else end.status

    def facts(self, cancelled_by: str | None, *, kernel_oom: bool) -> EndFacts:
        """What is known at its end."""
        end = self._crew.first_end
        return EndFacts(
            claim=self._crew.claim(),
            breach=self._breach,
            cancelled_by=cancelled_by,
            disk_full=False,
            exit_status=self.exit_status,
            kernel_oom=kernel_oom,
            rank=None if end is None else end.rank,
        )

    def carry_out(self, presence: Presence, interrupts: Asked, idle: IdleTime) -> None:
        """Launch, follow, end."""
        job, now_ns = self._job, self._clock.now_ns()
        self._watch.heard(now_ns)
        self._watch.entered("probe", now_ns)
        with ExitStack() as stack:
            inbox = Hub() if self._launch.launcher else Inbox()
            stack.callback(inbox.close)
            words = (str(job.writer.path), inbox.address, *self._orders())
            worker = stack.enter_context(
                WorkerProcess(
                    command_of(self._launch, job.spec.backend, job.worker_module, inbox.address, words),
                    job.writer.path / "output.log",
                    {**self._environment, **self._launch.environment},
                    inherited=inbox.inherited,
                )
            )
            inbox.started(worker.exit_status)
            try:
                self._follow(worker, inbox, presence, interrupts)
            finally:
                self._exit_status = worker.end()
                if self._metering is not None:
                    if keys.RUN_STOP in self._so_far.cpu_marks_s:
                        idle.after(self._metering, lambda: interrupts.asked_by is not None)
                    self._metering.stop()

    def _orders(self) -> Iterator[str]:
        """What a worker is told beside its run and channel."""
        if self._checkpoints is not None:
            yield from ("--checkpoints", str(self._checkpoints))
        if self._job.keep_weights is not None:
            yield from ("--keep-weights", str(self._job.keep_weights / f"{self._job.spec.run_id}.safetensors"))
        if keys.RUN_START in self._so_far.cpu_marks_s:
            yield "--resume"
        elif self._job.beside is not None:
            yield from self._job.beside.orders()

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
            self._so_far.cpu_marks_s[message.key] = time.process_time()
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
            self._so_far.memory_peak_bytes = max(self._so_far.memory_peak_bytes, resident)
            self._watch.used(resident)
        for found in self._clock.breaks():
            self._recorder.record(keys.CLOCK, found.kind, {"by_s": round(found.by_s, 3)})
        for neighbour in presence.neighbours():
            if neighbour.run_id not in self._so_far.seen_neighbours:
                self._so_far.seen_neighbours.add(neighbour.run_id)
                self._recorder.record(keys.OTHER_RUN, neighbour.run_id, {"device": neighbour.device})
