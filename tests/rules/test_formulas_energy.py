"""Energy over a window against closed forms, and everything that must be refused."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oildrop.rules.evidence import Series
from oildrop.rules.formulas.energy import (
    EnergyReading,
    counter_increment,
    disagreement,
    energy_by_counter,
    energy_by_integral,
)

S = 1_000_000_000


def series(t_s: list[float], values: list[float], quantity: str = "energy_j") -> Series:
    times = tuple(round(t * S) for t in t_s)
    return Series(meter="m", quantity=quantity, device="d", scope="device", t_ns=times, values=tuple(values))


@st.composite
def sampled(draw: st.DrawFn) -> tuple[list[float], tuple[int, int]]:
    """Jittered sampling times in seconds and a window inside them."""
    steps = draw(st.lists(st.floats(0.05, 1.0), min_size=3, max_size=40))
    times = [0.0, *np.cumsum(steps).tolist()]
    low, high = sorted(draw(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=2)))
    start, stop = round(low * times[-1] * S), round(high * times[-1] * S)
    last = round(times[-1] * S)
    return times, (min(start, last - 10), min(max(stop, start + 10), last))


@given(sampled(), st.floats(1.0, 2000.0))
def test_constant_power_gives_power_times_time_by_both_ways(case, power_w: float) -> None:
    times, window = case
    expected = power_w * (window[1] - window[0]) / S
    counter = energy_by_counter(series(times, [power_w * t for t in times]), window)
    integral = energy_by_integral(series(times, [power_w] * len(times)), window)
    # Times are rounded to nanoseconds, so a counter is off by at most a nanosecond's energy at each edge.
    assert counter.value == pytest.approx(expected, abs=4e-9 * power_w + 1e-12 * power_w * times[-1])
    assert integral.value == pytest.approx(expected, rel=1e-9)
    assert integral.uncertainty == 0


@given(sampled(), st.floats(0.0, 300.0), st.floats(0.0, 50.0))
def test_a_linear_ramp_is_integrated_exactly(case, at_zero_w: float, slope: float) -> None:
    times, (start, stop) = case
    a, b = start / S, stop / S
    integral = energy_by_integral(series(times, [at_zero_w + slope * t for t in times]), (start, stop))
    expected = at_zero_w * (b - a) + slope * (b**2 - a**2) / 2
    assert integral.value == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(sampled())
def test_the_counters_bound_holds_for_any_load_between_the_samples(case) -> None:
    times, (start, stop) = case

    def truth(t: float) -> float:
        """300 W plus a swing of 250 W at 1.7 Hz, integrated in closed form."""
        return 300 * t + 250 * (1 - math.cos(2 * math.pi * 1.7 * t)) / (2 * math.pi * 1.7)

    reading = energy_by_counter(series(times, [truth(t) for t in times]), (start, stop))
    assert reading.value is not None and reading.uncertainty is not None
    error = abs(reading.value - (truth(stop / S) - truth(start / S)))
    assert error <= reading.uncertainty * 2 + 1e-5


def test_a_window_on_samples_is_known_without_bound() -> None:
    reading = energy_by_counter(series([0, 1, 2, 3], [0, 10, 30, 60]), (1 * S, 3 * S))
    assert reading == EnergyReading(
        value=50.0, method="energy_counter/1", sample_count=3, max_gap_s=1.0, uncertainty=0.0
    )


def test_edges_are_interpolated_and_bounded_by_hand() -> None:
    # Half a second at 10 W, one at 20 W, half at 30 W; the counted energy lies between 20 and 60 J.
    reading = energy_by_counter(series([0, 1, 2, 3], [0, 10, 30, 60]), (S // 2, 5 * S // 2))
    assert reading.value == 5 + 20 + 15
    assert reading.uncertainty == (60 - 20) / 2
    lagging = energy_by_counter(series([0, 1, 2, 3], [0, 10, 30, 60]), (S // 2, 5 * S // 2), update_period_s=0.1)
    assert lagging.uncertainty == pytest.approx(20 + 20 * 0.1)


def test_the_integral_against_numpy() -> None:
    rng = np.random.default_rng(7)
    times = np.cumsum(rng.uniform(0.2, 0.3, 60))
    powers = rng.uniform(100, 400, 60)
    reading = energy_by_integral(series(times.tolist(), powers.tolist()), (5 * S, 12 * S))
    grid = np.union1d(times[(times > 5) & (times < 12)], [5.0, 12.0])
    assert reading.value == pytest.approx(np.trapezoid(np.interp(grid, times, powers), grid), rel=1e-9)
    assert reading.sample_count == len(grid) - 2


def test_the_integrals_uncertainty_covers_noise_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(11)
    hits = 0
    for _ in range(400):
        times = np.arange(0, 20.01, 0.25)
        powers = np.maximum(0, 300 + 30 * rng.standard_normal(len(times)))
        reading = energy_by_integral(series(times.tolist(), powers.tolist()), (0, 20 * S))
        assert reading.value is not None and reading.uncertainty is not None
        hits += abs(reading.value - 6000) <= reading.uncertainty
    assert 0.92 <= hits / 400 <= 0.98


@pytest.mark.parametrize(
    ("t_s", "values", "window_s", "reason"),
    [
        ([0, 1, 2, 3], [0, 10, 5, 30], (0, 3), "went backward, from 10 to 5 J"),
        ([0, 1, 2, 3], [7, 7, 7, 7], (0, 3), "stood at 7 J through the whole window"),
        ([0, 1, 8, 9], [0, 10, 10, 20], (0, 9), "stood still for 7 s"),
        ([1, 2, 3], [0, 10, 20], (0.5, 3), "first sample came 0.5 s after"),
        ([1, 2, 3], [0, 10, 20], (1, 3.5), "last sample came 0.5 s before"),
        ([1], [0], (1, 2), "1 samples"),
        ([], [], (1, 2), "0 samples"),
        ([0, 2, 1, 3], [0, 1, 2, 3], (0, 3), "times do not increase"),
        ([0, 1, 2], [0, float("nan"), 2], (0, 2), "not a finite number"),
        ([0, 1, 2], [-1, 0, 2], (0, 2), "negative"),
        ([0, 1, 2], [0, 1, 2], (1, 1), "not after its start"),
    ],
)
def test_a_counter_that_cannot_be_trusted_is_refused(t_s, values, window_s, reason: str) -> None:
    reading = energy_by_counter(series(t_s, values), (round(window_s[0] * S), round(window_s[1] * S)))
    assert reading.value is None and reading.uncertainty is None
    assert reason in (reading.reason or "")


def test_trouble_outside_the_window_does_not_matter() -> None:
    counter = series([0, 1, 2, 3, 4, 5], [900, 10, 20, 30, 40, 0])
    assert energy_by_counter(counter, (1 * S, 4 * S)).value == 30


def test_a_gap_too_wide_is_refused_for_power_only() -> None:
    t_s = [0, 0.5, 3.5, 4]
    refused = energy_by_integral(series(t_s, [100] * 4), (0, 4 * S))
    assert refused.value is None and "a gap of 3 s" in (refused.reason or "")
    assert energy_by_integral(series(t_s, [100] * 4), (0, S // 2)).value == 50
    assert energy_by_counter(series(t_s, [100 * t for t in t_s]), (0, 4 * S)).value == 400


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=50), st.integers(4 * 10**9, 10**12))
def test_wraps_are_unrolled_whatever_the_start(increments: list[int], wrap_range: int) -> None:
    raw = [(wrap_range - 5 + sum(increments[:count])) % (wrap_range + 1) for count in range(len(increments) + 1)]
    counted = [counter_increment(before, after, wrap_range) for before, after in pairwise(raw)]
    assert counted == increments


def test_a_reset_is_no_wrap() -> None:
    assert counter_increment(600, 0, 1000) == 401
    assert counter_increment(400, 0, 1000) is None
    assert counter_increment(2000, 1, 1000) is None


def test_disagreement_of_the_two_ways() -> None:
    def reading(value: float | None) -> EnergyReading:
        return EnergyReading(value=value, method="x", sample_count=2)

    assert disagreement(reading(100.0), reading(95.0)) == pytest.approx(0.05)
    assert disagreement(reading(None), reading(95.0)) is None
    assert disagreement(reading(100.0), reading(None)) is None
