"""Censored times against scipy.stats.ecdf, by hand and by simulation."""

import math
import warnings
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oildrop.rules.survival import kaplan_meier, median_time

INF = math.inf
RUNS = st.lists(st.tuples(st.integers(1, 9).map(float), st.booleans()), min_size=1, max_size=12)


def test_by_hand():
    # Reached at 1 and 3, censored at 2, failed once: 3/4 after 1, then 2 at risk at 3: 3/8.
    first, second = kaplan_meier([1.0, 2.0, 3.0, INF], [True, False, True, False])
    assert (first.time, first.at_risk, first.reached, first.unreached) == (1.0, 4, 1, 0.75)
    assert (second.time, second.at_risk, second.reached, second.unreached) == (3.0, 2, 1, 0.375)
    assert median_time([1.0, 2.0, 3.0, INF], [True, False, True, False]).value == 3.0


@settings(deadline=None, max_examples=60)
@given(RUNS)
def test_the_curve_and_its_intervals_equal_scipys(runs):
    from scipy.stats import CensoredData, ecdf

    times, reached = zip(*runs, strict=True)
    steps = kaplan_meier(times, reached)
    curve = ecdf(CensoredData.right_censored(times, [not done for done in reached])).sf
    assert [step.unreached for step in steps] == pytest.approx(curve.evaluate([step.time for step in steps]))
    inside = [step for step in steps if step.unreached > 1e-12]
    if inside:
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):  # it warns where the share is 0
            interval = curve.confidence_interval(0.95, method="log-log")
        at = [step.time for step in inside]
        assert [step.low for step in inside] == pytest.approx(interval.low.evaluate(at))
        assert [step.high for step in inside] == pytest.approx(interval.high.evaluate(at))


def test_a_failure_is_a_time_that_never_comes():
    ok = [20.0, 21.0, 22.0]
    assert median_time(ok, [True] * 3).value == 21.0
    assert median_time([*ok, INF, INF], [True] * 3 + [False] * 2).value == 22.0
    assert median_time([*ok, INF, INF, INF, INF], [True] * 3 + [False] * 4).value is None


@settings(deadline=None, max_examples=60)
@given(RUNS)
def test_one_more_failure_never_shortens_the_median(runs):
    times, reached = zip(*runs, strict=True)
    before, after = median_time(times, reached), median_time([*times, INF], [*reached, False])
    assert (after.value or INF) >= (before.value or INF)


def test_a_censored_run_says_more_than_a_failure_left_out():
    # Left out, the run that missed at 50 would make the median 21; censored, half of all reach it by 22.
    assert median_time([20.0, 21.0, 22.0, 50.0], [True] * 3 + [False]).value == 21.0
    assert median_time([20.0, 21.0, 22.0, 50.0, 50.0], [True] * 3 + [False] * 2).value == 22.0


@pytest.mark.parametrize("share", [1.0, 0.8])
@pytest.mark.parametrize("count", [5, 8])
def test_the_medians_interval_covers_it(count, share):
    dice = np.random.default_rng(1958)
    covered, trials = 0, 600
    true = 20 * math.exp(0.1 * NormalDist().inv_cdf(0.5 / share))
    for _ in range(trials):
        ok = dice.random(count) < share
        times = np.where(ok, 20 * np.exp(0.1 * dice.standard_normal(count)), INF)
        found = median_time(list(times), list(ok))
        covered += (found.low or 0) <= true <= (found.high or INF)
    assert covered / trials >= 0.93


@pytest.mark.parametrize(
    ("times", "reached"), [([], []), ([1.0], []), ([-1.0], [True]), ([math.nan], [False]), ([INF], [True])]
)
def test_impossible_input_is_refused(times, reached):
    with pytest.raises(ValueError, match="needs"):
        kaplan_meier(times, reached)
