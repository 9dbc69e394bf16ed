"""Samples all meters from a thread of the supervisor, at a period that locks to nobody's.

A power sensor that looks a quarter of the time is read wrongly by whoever reads it in step with it:
hence the random first delay and the jitter. Each reading is stamped with the middle of its call.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import SystemRandom

from oildrop.harness.meters.interface import Meter, MeterInfo
from oildrop.harness.meters.update_period import look
from oildrop.results.bundle.telemetry import TelemetryRow

PERIOD_S = 0.25
JITTER = 0.2
FLUSH_S = 1.0
STOP_LIMIT_S = 2.0
"""Longest that `stop` waits for a meter that hangs inside its vendor's library, seconds."""


_SYSTEM_RANDOM = SystemRandom()


@dataclass(kw_only=True)
class MeterRecord:
    """One meter's life in a run.

    Attributes:
        sample_count: Samples that held at least one reading.
        max_gap_s: Widest gap between two of them, seconds; None before the second.
    """

    meter: Meter
    info: MeterInfo
    sample_count: int = 0
    max_gap_s: float | None = None
    last_ns: int | None = None

    def note(self, t_ns: int) -> None:
        """Count a sample at `t_ns`."""
        if self.last_ns is not None:
            self.max_gap_s = max(self.max_gap_s or 0.0, (t_ns - self.last_ns) / 1e9)
        self.last_ns = t_ns
        self.sample_count += 1


class Sampler:
    """Runs from `start` to `stop`; both callbacks are called from its thread, the last ones from `stop`'s caller.

    Args:
        start_ns: The run's start on the monotonic clock; all stamps count from it.
        on_rows: Takes a batch about once a second. If it raises, sampling ends and `stop` raises the same.
        on_meter_change: Takes the new info of a meter that failed.
        period_s: Mean time between two samples, seconds; each is drawn from period_s * (1 ± jitter).
        draw: Uniform in [0, 1), by the operating system's randomness.
        look_s: How long meters that can be polled are first asked quickly, to find how often they move, seconds.
    """

    def __init__(
        self,
        meters: Sequence[Meter],
        *,
        start_ns: int,
        on_rows: Callable[[list[TelemetryRow]], None],
        on_meter_change: Callable[[MeterInfo], None],
        period_s: float = PERIOD_S,
        jitter: float = JITTER,
        flush_s: float = FLUSH_S,
        clock: Callable[[], int] = time.monotonic_ns,
        draw: Callable[[], float] = _SYSTEM_RANDOM.random,
        stop_limit_s: float = STOP_LIMIT_S,
        look_s: float = 0.0,
    ) -> None:
        self._records = [MeterRecord(meter=meter, info=meter.info()) for meter in meters]
        self._start_ns = start_ns
        self._on_rows = on_rows
        self._on_meter_change = on_meter_change
        self._period_s, self._jitter, self._flush_s = period_s, jitter, flush_s
        self._clock, self._draw, self._stop_limit_s, self._look_s = clock, draw, stop_limit_s, look_s
        self._rows: list[TelemetryRow] = []
        self._flushed_ns = start_ns
        self._inside: MeterRecord | None = None
        self._stop = threading.Event()
        self._abandoned = False
        self._error: BaseException | None = None
        self._cpu_s = 0.0
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    @property
    def cpu_s(self) -> float:
        """Processor time of the sampling thread so far, seconds."""
        return self._cpu_s

    @property
    def records(self) -> tuple[MeterRecord, ...]:
        """What became of each meter; complete after `stop`."""
        return tuple(self._records)

    def start(self) -> None:
        """Begin, after a random part of one period."""
        self._thread.start()

    def stop(self) -> None:
        """Sample once more, hand over the rest and close the meters. Raises what `on_rows` raised.

        A meter that hangs is reported as no longer measuring, and left behind with its thread.
        """
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(self._stop_limit_s)
        if self._thread.is_alive():
            self._give_up()
            return
        for record in self._records:
            self._close(record)
        if self._error is not None:
            raise self._error

    def sample_once(self) -> None:
        """Read every meter that still measures, and hand over what is a second old."""
        for record in self._records:
            if record.info.status != "not_measured" and not self._abandoned:
                self._sample(record)
        if (self._clock() - self._flushed_ns) / 1e9 >= self._flush_s:
            self.flush()

    def flush(self) -> None:
        """Hand over all rows."""
        self._flushed_ns = self._clock()
        rows, self._rows = self._rows, []
        if rows and not self._abandoned:
            self._on_rows(rows)

    def _run(self) -> None:
        try:
            self._look()
            delay_s = self._period_s * self._draw()
            while not self._stop.wait(delay_s):
                self.sample_once()
                self._cpu_s = time.thread_time()
                delay_s = self._period_s * (1 + self._jitter * (2 * self._draw() - 1))
            self.sample_once()
            self.flush()
        except Exception as error:  # kept for `stop`, which raises it in the caller's thread
            self._error = error
        self._cpu_s = time.thread_time()

    def _look(self) -> None:
        """Find the update periods of meters that can be polled; what they do not tell stays as the vendor says."""
        polled = [record for record in self._records if record.info.pollable and record.info.status != "not_measured"]
        if not polled or not self._look_s:
            return
        self.sample_once()  # The run may start meanwhile.
        meters = [record.meter for record in polled]
        found = look(meters, look_s=self._look_s, clock=self._clock, draw=self._draw, stopped=self._stop.wait)
        for record, period_s in zip(polled, found, strict=True):
            if period_s is not None:
                record.info = replace(record.info, update_period_s=period_s)

    def _close(self, record: MeterRecord) -> None:
        """Let the meter go; one that counted its own updates says their period now."""
        period_s = record.meter.info().update_period_s
        if not record.info.pollable and record.info.status != "not_measured":
            record.info = replace(record.info, update_period_s=period_s)
        record.meter.close()

    def _sample(self, record: MeterRecord) -> None:
        self._inside = record
        before_ns = self._clock()
        try:
            readings = record.meter.sample()
        except Exception as error:  # whatever a vendor's library raises, the other meters go on
            if not self._abandoned:
                self._fail(record, str(error) or type(error).__name__)
            return
        finally:
            self._inside = None
        t_ns = (before_ns + self._clock()) // 2 - self._start_ns
        name = record.info.name
        rows = [TelemetryRow(t_ns, name, *reading) for reading in readings if math.isfinite(reading.value)]
        if rows:
            record.note(t_ns)
            self._rows.extend(rows)

    def _fail(self, record: MeterRecord, reason: str) -> None:
        record.info = replace(record.info, status="not_measured", reason=f"stopped answering: {reason}")
        self._on_meter_change(record.info)

    def _give_up(self) -> None:
        """A meter hangs: leave the thread behind, report the meter, save what there is."""
        stuck = self._inside
        if stuck is not None:
            self._fail(stuck, f"no answer within {self._stop_limit_s:g} s")
        self.flush()
        self._abandoned = True
