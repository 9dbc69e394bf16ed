"""Idle power around a run: a few seconds in which meters are read and nothing of the run exists."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import Protocol

from oildrop.harness.meters.open_meters import open_energy_meters
from oildrop.harness.sampler import Sampler
from oildrop.results.bundle.telemetry import TelemetryRow
from oildrop.results.bundle.write import BundleWriter
from oildrop.rules import keys
from oildrop.rules.phases import IDLE
from oildrop.rules.records import RunSpec

IDLE_S = 5.0
"""How long idle power is sampled, seconds: 50 updates of a sensor that moves every 0.1 s."""

TICK_S = 0.1
KINDS = ("to_target", "fixed_work", "serve")
"""Kinds of runs around which it is; probes are many and short."""


class Log(Protocol):
    """The event log."""

    def record(self, key: str, value: str) -> None:
        """One event, now."""


class Metering(Protocol):
    """The meters of the run."""

    @property
    def measures_energy(self) -> bool:
        """Whether a meter of energy or power still answers."""

    def write_out(self) -> None:
        """Write what was sampled."""


class IdleTime:
    """The idle phases of one run, each entered only where a meter answers: without one nothing is waited for.

    Args:
        start_ns: The run's start on the monotonic clock.
    """

    def __init__(self, spec: RunSpec, salt: str, writer: BundleWriter, log: Log, *, start_ns: int) -> None:
        self._spec, self._salt, self._writer, self._log, self._start_ns = spec, salt, writer, log, start_ns

    @property
    def _wanted(self) -> bool:
        """Not of a run that shares its device: the other's load is there, and energy is nobody's own."""
        return self._spec.kind in KINDS and self._spec.beside_run_id is None

    def before(self, stopped: Callable[[], bool]) -> None:
        """Before the worker is started: by meters of all devices, as nobody knows yet which the run will take.

        Args:
            stopped: Whether somebody asked for an end, which ends the waiting too.
        """
        meters = open_energy_meters(self._spec.backend, self._salt) if self._wanted else []
        if not meters:
            return
        self._log.record(keys.PHASE, IDLE)
        rows: queue.SimpleQueue[list[TelemetryRow]] = queue.SimpleQueue()
        sampler = Sampler(meters, start_ns=self._start_ns, on_rows=rows.put, on_meter_change=_ignore)

        def write_out() -> None:
            while not rows.empty():
                self._writer.append_telemetry(rows.get())

        sampler.start()
        try:
            _wait(write_out, stopped)
        finally:
            sampler.stop()
            write_out()

    def after(self, metering: Metering, stopped: Callable[[], bool]) -> None:
        """After the worker of a run that came to its end is gone: by the run's own meters."""
        if self._wanted and metering.measures_energy and not stopped():
            self._log.record(keys.PHASE, IDLE)
            _wait(metering.write_out, stopped)


def _wait(write_out: Callable[[], None], stopped: Callable[[], bool]) -> None:
    until_s = time.monotonic() + IDLE_S
    while time.monotonic() < until_s and not stopped():
        time.sleep(TICK_S)
        write_out()


def _ignore(info: object) -> None:
    """A meter that fails before the run is opened again for it, and says why then."""
