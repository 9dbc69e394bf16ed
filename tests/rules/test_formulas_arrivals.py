"""The schedule of arrivals against the float logarithm, the exponential distribution and itself."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from oildrop.rules.errors import UsageError
from oildrop.rules.formulas.arrivals import arrivals_ns, mean_gap_fs, minus_log, schedule_ns


@given(st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 64).map(lambda bits: max(2**bits - 1, 0))))
def test_logarithm_agrees_with_the_library_of_floats(word: int) -> None:
    expected = 64 * math.log(2) - math.log(word + 1)
    assert minus_log(word) / 2**60 == pytest.approx(expected, abs=1e-9)


def test_gaps_are_exponential_with_the_mean_that_was_asked_for() -> None:
    rate, times = 250.0, arrivals_ns(3, 250.0, 20_000)
    gaps_s = [(after - before) / 1e9 for before, after in zip([0, *times], times, strict=False)]
    assert stats.kstest(gaps_s, stats.expon(scale=1 / rate).cdf).pvalue > 0.01
    lag = [gaps_s[:-1], gaps_s[1:]]
    assert abs(stats.spearmanr(*lag).statistic) < 0.03


def test_a_schedule_never_changes() -> None:
    assert arrivals_ns(7, 5000.0, 3) == [85056, 102046, 201968]


def test_seeds_differ_and_a_rate_only_stretches_time() -> None:
    slow, fast = arrivals_ns(7, 10.0, 50), arrivals_ns(7, 20.0, 50)
    assert all(abs(one - 2 * other) <= 2 for one, other in zip(slow, fast, strict=True))
    assert arrivals_ns(8, 10.0, 1) != slow[:1]
    assert slow == sorted(slow)


def test_the_mean_gap_is_rounded_from_the_exact_rate() -> None:
    assert mean_gap_fs(3.0) == 333_333_333_333_333
    assert mean_gap_fs(0.5) == 2 * 10**15
    assert mean_gap_fs(1e9) == 10**6


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, math.inf, 2e9])
def test_a_rate_that_is_none_is_refused_with_its_limit(rate: float) -> None:
    with pytest.raises(UsageError, match="at most 1e9"):
        arrivals_ns(0, rate, 1)


def test_a_schedule_keeps_both_minima_and_ends_there() -> None:
    by_time = schedule_ns(1, 100.0, minimum_ns=10**9, minimum_count=3)
    assert by_time[-2] < 10**9 <= by_time[-1]
    by_count = schedule_ns(1, 100.0, minimum_ns=1, minimum_count=64)
    assert len(by_count) == 64
    assert by_count == arrivals_ns(1, 100.0, 64)
