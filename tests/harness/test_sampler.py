"""The sampling thread, with replayed meters."""

import statistics
import threading
import time
from collections.abc import Sequence

import pytest

from oildrop.harness.meters.interface import MeterInfo, Reading
from oildrop.harness.meters.replay import ReplayMeter
from oildrop.harness.sampler import Sampler
from oildrop.results.bundle.telemetry import TelemetryRow

POWER = MeterInfo(name="power", status="measured", device="d0")


class Counting:
    """A meter that counts its samples and may do something at one of them."""

    def __init__(self, name: str = "counting", at: int | None = None, action=None) -> None:
        self.name, self.at, self.action = name, at, action
        self.count = 0
        self.closed = False

    def info(self) -> MeterInfo:
        return MeterInfo(name=self.name, status="measured")

    def sample(self) -> Sequence[Reading]:
        self.count += 1
        if self.count == self.at:
            self.action()
        return (Reading("energy_j", self.name, "device", float(self.count)),)

    def close(self) -> None:
        self.closed = True


class Kept:
    """Callbacks that keep what they are given."""

    def __init__(self) -> None:
        self.rows: list[TelemetryRow] = []
        self.batches = 0
        self.changes: list[MeterInfo] = []

    def on_rows(self, rows: list[TelemetryRow]) -> None:
        self.batches += 1
        self.rows += rows

    def options(self, **more) -> dict:
        return {
            "start_ns": time.monotonic_ns(),
            "on_rows": self.on_rows,
            "on_meter_change": self.changes.append,
            **more,
        }


def wait_for(condition, limit_s: float = 5.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)


def test_each_reading_is_stamped_with_the_middle_of_its_call() -> None:
    ticks = iter([1000, 1500, 9000, 9200, 10_000, 10_000])
    kept = Kept()
    meters = [ReplayMeter(POWER, [[Reading("power_w", "d0", "device", 50.0)]]), Counting()]
    sampler = Sampler(meters, **kept.options(start_ns=200, clock=lambda: next(ticks), flush_s=0.0))
    sampler.sample_once()
    assert [row.t_ns for row in kept.rows] == [1050, 8900]


def test_rows_carry_the_meters_name_and_the_reading() -> None:
    kept = Kept()
    sampler = Sampler([ReplayMeter(POWER, [[Reading("power_w", "d0", "device", 50.0)]])], **kept.options())
    sampler.sample_once()
    sampler.flush()
    (row,) = kept.rows
    assert row[1:] == ("power", "power_w", "d0", "device", 50.0)


def test_a_value_that_is_no_number_is_left_out() -> None:
    kept = Kept()
    frame = [Reading("power_w", "d0", "device", float("nan")), Reading("busy_fraction", "d0", "device", 0.5)]
    sampler = Sampler([ReplayMeter(POWER, [frame])], **kept.options())
    sampler.sample_once()
    sampler.flush()
    assert [row.quantity for row in kept.rows] == ["busy_fraction"]


def test_a_meter_that_fails_is_reported_once_and_the_others_go_on() -> None:
    kept = Kept()
    frames = [[Reading("power_w", "d0", "device", 50.0)], "the device fell off the bus"]
    other = Counting()
    sampler = Sampler([ReplayMeter(POWER, frames), other], **kept.options())
    for _ in range(4):
        sampler.sample_once()
    assert other.count == 4
    (change,) = kept.changes
    assert (change.name, change.status) == ("power", "not_measured")
    assert change.reason == "stopped answering: the device fell off the bus"
    assert [record.sample_count for record in sampler.records] == [1, 4]


def test_a_vendors_stray_exception_is_a_failure_too() -> None:
    kept = Kept()

    def stray() -> None:
        raise KeyError("amdsmi")

    sampler = Sampler([Counting(at=1, action=stray)], **kept.options())
    sampler.sample_once()
    assert kept.changes[0].reason == "stopped answering: 'amdsmi'"


def test_gaps_are_noted() -> None:
    ticks = iter([0, 0, 0, 250_000_000, 250_000_000, 0, 900_000_000, 900_000_000, 0, 0])
    sampler = Sampler([Counting()], **Kept().options(start_ns=0, clock=lambda: next(ticks), flush_s=99.0))
    for _ in range(3):
        sampler.sample_once()
    assert sampler.records[0].max_gap_s == pytest.approx(0.65)


def test_the_thread_samples_flushes_and_closes() -> None:
    kept, meter = Kept(), Counting()
    sampler = Sampler([meter], **kept.options(period_s=0.005, flush_s=0.02))
    sampler.start()
    wait_for(lambda: kept.batches >= 2)
    sampler.stop()
    assert meter.closed and meter.count == len(kept.rows)
    assert [row.value for row in kept.rows] == [float(n + 1) for n in range(meter.count)]
    assert 0 < sampler.cpu_s < 5
    assert sampler.records[0].sample_count == meter.count


def test_stop_takes_a_last_sample_however_long_the_period_is() -> None:
    kept, meter = Kept(), Counting()
    sampler = Sampler([meter], **kept.options(period_s=3600.0))
    sampler.start()
    sampler.stop()
    assert meter.count == 1 and len(kept.rows) == 1


def test_stop_without_start_closes_the_meters() -> None:
    meter = Counting()
    Sampler([meter], **Kept().options()).stop()
    assert meter.closed


def test_an_error_of_the_callback_reaches_who_stops() -> None:
    def full(rows: list[TelemetryRow]) -> None:
        raise OSError(28, "No space left on device")

    meter = Counting()
    sampler = Sampler([meter], **{**Kept().options(period_s=0.001, flush_s=0.0), "on_rows": full})
    sampler.start()
    with pytest.raises(OSError, match="No space"):
        sampler.stop()
    assert meter.closed


def test_a_meter_that_hangs_is_left_behind_and_named() -> None:
    kept, release = Kept(), threading.Event()
    stuck = Counting("stuck", at=2, action=release.wait)
    sampler = Sampler([Counting(), stuck], **kept.options(period_s=0.001, stop_limit_s=0.05))
    sampler.start()
    wait_for(lambda: stuck.count == 2)
    sampler.stop()
    (change,) = kept.changes
    assert (change.name, change.reason) == ("stuck", "stopped answering: no answer within 0.05 s")
    assert [row.meter for row in kept.rows] == ["counting", "stuck", "counting"]
    release.set()
    sampler._thread.join(5)
    assert len(kept.rows) == 3


def test_waits_are_jittered_around_the_period() -> None:
    drawn = iter([0.5, 0.0, 1.0 - 2**-53, 0.5] + [0.25] * 100)
    waits: list[float] = []
    sampler = Sampler([Counting()], **Kept().options(period_s=0.25, draw=lambda: next(drawn)))

    class Stop:
        def wait(self, seconds: float) -> bool:
            waits.append(seconds)
            return len(waits) == 5

    sampler._stop = Stop()  # type: ignore[assignment]
    sampler._run()
    assert waits == pytest.approx([0.125, 0.2, 0.3, 0.25, 0.225])


def test_two_samplers_do_not_run_in_step() -> None:
    waits: list[float] = []
    for _ in range(2):
        own: list[float] = []
        sampler = Sampler([Counting()], **Kept().options())

        class Stop:
            def __init__(self, kept: list[float]) -> None:
                self.kept = kept

            def wait(self, seconds: float) -> bool:
                self.kept.append(seconds)
                return len(self.kept) == 200

        sampler._stop = Stop(own)  # type: ignore[assignment]
        sampler._run()
        assert all(0.2 <= wait <= 0.3 for wait in own[1:])
        assert statistics.mean(own[1:]) == pytest.approx(0.25, abs=0.01)
        waits += own
    assert len(set(waits)) > 390
