"""Power sensors made by formula: what is read of them, at every period and phase tried, against the true energy."""

from __future__ import annotations

import itertools
import math
from random import Random

import pytest

from oildrop.rules.evidence import Series
from oildrop.rules.formulas.energy import EnergyReading, energy_by_counter, energy_by_integral
from oildrop.rules.formulas.power_sensor import (
    impossible_power,
    share_seen_in_step,
    sources_part,
    update_period_s,
    widened,
)

S = 1_000_000_000
LOW_W, HIGH_W, LIMIT_W = 100.0, 400.0, 450.0
WINDOW_S = 60.0
PHASES = (0.0, 0.13, 0.37, 0.5, 0.81)


def true_j(t_s: float, period_s: float, phase: float) -> float:
    """Energy of a square wave since time 0: half of each period high, half low; `phase` in periods."""
    whole, rest = divmod(t_s / period_s + phase, 1.0)
    start = min(phase, 0.5) * HIGH_W + max(phase - 0.5, 0.0) * LOW_W
    done = whole * (LOW_W + HIGH_W) / 2 + min(rest, 0.5) * HIGH_W + max(rest - 0.5, 0.0) * LOW_W
    return (done - start) * period_s


def sensed_w(t_s: float, sensor_s: float, seen: float, period_s: float, phase: float) -> float:
    """What a sensor shows at a time: the mean over the last `seen` of its last whole period."""
    stop = math.floor(t_s / sensor_s) * sensor_s
    start = stop - seen * sensor_s
    return (true_j(stop, period_s, phase) - true_j(start, period_s, phase)) / (stop - start)


def stamps_s(seed: int, spacing_s: float = 0.25) -> list[float]:
    """Times as the sampler draws them: jittered by 20 %, from before the window to after it."""
    draw = Random(seed)
    steps = [spacing_s * (1 + 0.2 * (2 * draw.random() - 1)) for _ in range(int(1.5 * WINDOW_S / spacing_s))]
    return list(itertools.accumulate(steps, initial=5 + spacing_s * draw.random()))


def series(quantity: str, t_s: list[float], values: list[float]) -> Series:
    stamps = tuple(round(t * S) for t in t_s)
    return Series(meter="m", quantity=quantity, device="d", scope="device", t_ns=stamps, values=tuple(values))


WINDOW_NS = (6 * S, round((6 + WINDOW_S) * S))


def truth(period_s: float, phase: float) -> float:
    return true_j(WINDOW_NS[1] / S, period_s, phase) - true_j(WINDOW_NS[0] / S, period_s, phase)


@pytest.mark.parametrize("period_s", [0.003, 0.01, 0.0333, 0.05, 0.1, 0.2, 0.25, 0.3, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("phase", PHASES)
def test_a_counter_is_right_to_one_percent(period_s: float, phase: float) -> None:
    times = stamps_s(seed=1)
    # It moves every 100 ms and shows what was drawn until then.
    shown = [true_j(math.floor(t / 0.1) * 0.1, period_s, phase) for t in times]
    reading = energy_by_counter(series("energy_j", times, shown), WINDOW_NS, update_period_s=0.1)
    assert reading.value == pytest.approx(truth(period_s, phase), rel=0.01)


@pytest.mark.parametrize("period_s", [0.003, 0.01, 0.0333, 0.05, 0.1, 0.2, 0.25, 0.3, 0.5])
@pytest.mark.parametrize("phase", PHASES)
def test_a_sensor_that_averages_a_second_is_right_to_one_percent(period_s: float, phase: float) -> None:
    times = stamps_s(seed=2)
    shown = [(true_j(t, period_s, phase) - true_j(t - 1.0, period_s, phase)) / 1.0 for t in times]
    reading = energy_by_integral(series("power_w", times, shown), WINDOW_NS)
    assert reading.value == pytest.approx(truth(period_s, phase), rel=0.01)


@pytest.mark.parametrize("load_s", [0.05, 0.1, 0.2, 0.2 / 3])
@pytest.mark.parametrize("phase", PHASES)
def test_a_sensor_in_step_is_found_and_its_uncertainty_covers_the_truth(load_s: float, phase: float) -> None:
    """As on A100 and H100: 25 of each 100 ms are seen."""
    times = stamps_s(seed=3)
    shown = [sensed_w(t, 0.1, 0.25, load_s, phase) for t in times]
    reading = energy_by_integral(series("power_w", times, shown), WINDOW_NS)
    share = share_seen_in_step(load_s, 0.1, 0.25)
    assert share is not None and reading.value is not None
    wide = widened(reading, share, LIMIT_W, WINDOW_S)
    assert wide.uncertainty is not None and abs(reading.value - truth(load_s, phase)) <= wide.uncertainty


def test_in_step_the_plain_reading_is_off_by_more_than_it_says() -> None:
    times = stamps_s(seed=3)
    errors = []
    for phase in PHASES:
        shown = [sensed_w(t, 0.1, 0.25, 0.1, phase) for t in times]
        reading = energy_by_integral(series("power_w", times, shown), WINDOW_NS)
        errors.append(abs(reading.value - truth(0.1, phase)) / truth(0.1, phase))
    assert max(errors) > 0.5


@pytest.mark.parametrize("load_s", [0.0173, 0.0431, 0.087, 0.1313])
@pytest.mark.parametrize("phase", PHASES)
def test_out_of_step_the_sensor_sees_all_phases(load_s: float, phase: float) -> None:
    assert share_seen_in_step(load_s, 0.1, 0.25) is None
    times = stamps_s(seed=4, spacing_s=0.1)
    shown = [sensed_w(t, 0.1, 0.25, load_s, phase) for t in times]
    reading = energy_by_integral(series("power_w", times, shown), WINDOW_NS)
    assert reading.value == pytest.approx(truth(load_s, phase), abs=reading.uncertainty)


@pytest.mark.parametrize(
    ("load_s", "share"),
    [(0.1, 0.25), (0.05, 0.5), (0.2, 0.25), (0.3, 0.25), (0.0667, 0.75), (0.025, None), (0.1004, 0.249), (0.102, None)],
)
def test_the_share_seen_by_hand(load_s: float, share: float | None) -> None:
    found = share_seen_in_step(load_s, 0.1, 0.25)
    assert found is None if share is None else found == pytest.approx(share, rel=1e-3)


def test_a_sensor_that_sees_all_is_never_in_step() -> None:
    assert share_seen_in_step(0.1, 0.1, 1.0) is None


@pytest.mark.parametrize("period_s", [0.6, 1.0, 2.0, 5.0])
def test_the_update_period_is_read_from_the_samples(period_s: float) -> None:
    times = stamps_s(seed=5)
    shown = [float(math.floor(t / period_s) % 7) for t in times]
    assert update_period_s(series("power_w", times, shown)) == pytest.approx(period_s, rel=0.1)


def test_a_sensor_faster_than_the_samples_has_no_known_period() -> None:
    times = stamps_s(seed=5)
    assert update_period_s(series("power_w", times, [100 + t for t in times])) is None
    assert update_period_s(series("power_w", times, [100.0] * len(times))) is None


def test_sources_within_five_percent_and_their_uncertainty_agree() -> None:
    def reading(value: float, uncertainty: float) -> EnergyReading:
        return EnergyReading(value=value, method="x", sample_count=2, uncertainty=uncertainty)

    assert sources_part(reading(100, 0), reading(104.9, 0)) is None
    assert sources_part(reading(100, 0), reading(105.1, 0)) == pytest.approx(0.051)
    assert sources_part(reading(100, 1), reading(107, 1)) is None


def test_power_beyond_what_the_device_can_draw() -> None:
    assert impossible_power(300, 700) is None and impossible_power(1000, 700) is None
    assert "unit is wrong" in (impossible_power(1100, 700) or "") and impossible_power(0.3, 700) is not None
    assert impossible_power(5, None) is None and impossible_power(0, None) is not None
