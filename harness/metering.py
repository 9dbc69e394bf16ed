"""The meters of one run: opened for its devices, sampled from a thread, written by the supervisor's own."""

from __future__ import annotations

import queue
from collections.abc import Sequence

from oildrop.harness.meters.interface import MeterInfo
from oildrop.harness.meters.open_meters import measures_energy, open_meters
from oildrop.harness.meters.update_period import LOOK_S
from oildrop.harness.recorder import Recorder
from oildrop.harness.sampler import Sampler
from oildrop.harness.system.device_ids import salted_id
from oildrop.results.bundle.telemetry import TelemetryRow
from oildrop.results.bundle.write import BundleWriter
from oildrop.rules import keys

_KNOWN = ("seen_fraction", "least_window_s", "power_limit_w", "uncertainty", "certificate")
"""Words of a meter that are logged where it has them."""


class Metering:
    """Telemetry and meters' words pass through queues, so that one thread alone writes the bundle."""

    def __init__(
        self,
        backend: str,
        worker_pid: int,
        *,
        device_uuids: Sequence[str],
        salt: str,
        start_ns: int,
        writer: BundleWriter,
        recorder: Recorder,
    ) -> None:
        self._writer = writer
        self._recorder = recorder
        self._rows: queue.SimpleQueue[list[TelemetryRow]] = queue.SimpleQueue()
        self._changes: queue.SimpleQueue[MeterInfo] = queue.SimpleQueue()
        self.device_ids = tuple(salted_id(salt, uuid) for uuid in device_uuids)
        meters = open_meters(backend, worker_pid, device_uuids=device_uuids or None, salt=salt)
        for meter in meters:
            self._record(meter.info())
        self._sampler = Sampler(
            meters,
            start_ns=start_ns,
            on_rows=self._rows.put,
            on_meter_change=self._changes.put,
            look_s=LOOK_S,
        )

    def start(self) -> None:
        """Begin to sample."""
        self._sampler.start()

    @property
    def measures_energy(self) -> bool:
        """Whether a meter of energy or power still answers."""
        return any(
            measures_energy(record.meter) and record.info.status != "not_measured" for record in self._sampler.records
        )

    def write_out(self) -> None:
        """Write what the sampler handed over; called from the supervisor's thread."""
        while not self._rows.empty():
            self._writer.append_telemetry(self._rows.get())
        while not self._changes.empty():
            self._record(self._changes.get())

    def stop(self) -> None:
        """Sample a last time, write everything, and say how often each meter answered."""
        self._sampler.stop()
        self.write_out()
        for record in self._sampler.records:
            self._record(record.info, sample_count=record.sample_count, max_gap_s=record.max_gap_s)

    def _record(self, info: MeterInfo, *, sample_count: int = 0, max_gap_s: float | None = None) -> None:
        meta = {
            "status": info.status,
            "reason": info.reason,
            "scope": info.scope,
            "method": info.method,
            "device": info.device,
            "update_period_s": info.update_period_s,
            **{name: value for name in _KNOWN if (value := getattr(info, name)) is not None},
            "sample_count": sample_count,
            "max_gap_s": max_gap_s,
        }
        self._recorder.record(keys.METER, info.name, meta)
