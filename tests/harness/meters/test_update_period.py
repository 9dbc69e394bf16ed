"""How often a meter moves, found by polling a source made by formula on a clock of its own."""

import math
from collections.abc import Sequence

import pytest

from oildrop.harness.meters.interface import MeterInfo, Reading
from oildrop.harness.meters.update_period import look
from oildrop.harness.sampler import Sampler


class Clock:
    """Time that passes only while somebody waits, and a microsecond a look."""

    def __init__(self) -> None:
        self.t_ns = 0

    def __call__(self) -> int:
        self.t_ns += 1000
        return self.t_ns

    def wait(self, seconds: float) -> bool:
        self.t_ns += round(seconds * 1e9)
        return False


class Stepped:
    """A counter at 300 W that moves once a period."""

    def __init__(self, clock: Clock, period_s: float, quantity: str = "energy_j") -> None:
        self.clock, self.period_s, self.quantity = clock, period_s, quantity
        self.samples = 0

    def info(self) -> MeterInfo:
        return MeterInfo(name="stepped", status="measured", pollable=True, update_period_s=9.0)

    def sample(self) -> Sequence[Reading]:
        self.samples += 1
        steps = math.floor(self.clock.t_ns / 1e9 / self.period_s)
        return (Reading("busy_fraction", "d", "device", 1.0), Reading(self.quantity, "d", "device", 300.0 * steps))

    def close(self) -> None:
        pass


class Broken(Stepped):
    def sample(self) -> Sequence[Reading]:
        raise KeyError("gone")


def found(*meters: Stepped, clock: Clock, look_s: float = 1.0) -> list[float | None]:
    return look(meters, look_s=look_s, clock=clock, draw=lambda: 0.5, stopped=clock.wait)


@pytest.mark.parametrize("period_s", [0.02, 0.05, 0.1, 0.25])
@pytest.mark.parametrize("quantity", ["energy_j", "power_w"])
def test_the_period_is_found_to_one_spacing(period_s: float, quantity: str) -> None:
    clock = Clock()
    assert found(Stepped(clock, period_s, quantity), clock=clock) == [pytest.approx(period_s, abs=0.011)]


def test_what_moves_too_quickly_or_hardly_ever_or_fails_is_unknown() -> None:
    clock = Clock()
    meters = (Stepped(clock, 0.001), Stepped(clock, 5.0), Broken(clock, 0.1))
    assert found(*meters, clock=clock) == [None, None, None]


def test_the_look_ends_in_time() -> None:
    clock = Clock()
    meter = Stepped(clock, 0.1)
    found(meter, clock=clock, look_s=0.5)
    assert clock.t_ns / 1e9 == pytest.approx(0.5, abs=0.02) and meter.samples == pytest.approx(50, abs=2)


def test_the_sampler_reports_the_period_and_keeps_no_row_of_the_look_but_the_first() -> None:
    clock, rows = Clock(), []
    meter = Stepped(clock, 0.1)
    sampler = Sampler(
        [meter], start_ns=0, on_rows=rows.extend, on_meter_change=rows.append, clock=clock, draw=lambda: 0.5, look_s=1.0
    )
    waits = iter([clock.wait] * 1000)
    sampler._stop.wait = lambda seconds: next(waits)(seconds) or clock.t_ns > 2e9  # type: ignore[method-assign]
    sampler._run()
    assert sampler.records[0].info.update_period_s == pytest.approx(0.1, abs=0.011)
    stamps_s = sorted({row.t_ns / 1e9 for row in rows})
    assert stamps_s[0] < 0.1 and stamps_s[1] > 1.0 and len(stamps_s) == sampler.records[0].sample_count < 10
