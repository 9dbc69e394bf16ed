"""Means, intervals and rates of one set, against scipy.stats, closed forms and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oildrop.rules.statistics import (
    expected_time_to_success_s,
    geometric_mean,
    log_t_interval,
    standing,
    t_quantile,
    t_two_sided_p,
    variance,
    wilson_interval,
)

TIMES = st.lists(st.floats(min_value=1e-3, max_value=1e6), min_size=2, max_size=12)


def test_geometric_mean_of_two_and_eight_is_four():
    assert geometric_mean([2.0, 8.0]) == pytest.approx(4.0)


@settings(deadline=None)
@given(TIMES)
def test_geometric_mean_equals_scipys(values):
    from scipy.stats import gmean

    assert geometric_mean(values) == pytest.approx(float(gmean(values)), rel=1e-9)


@settings(deadline=None)
@given(TIMES)
def test_interval_equals_scipys_one_sample_t_on_logs(values):
    from scipy.stats import sem, t

    logs = np.log(values)
    estimate = log_t_interval(values)
    if np.diff(np.sort(logs)).min() < 1e-9:  # equal values show a step, which widens the interval
        return
    low, high = t.interval(0.95, len(values) - 1, loc=logs.mean(), scale=sem(logs))
    assert math.log(estimate.low) == pytest.approx(max(low, -745), rel=1e-7, abs=1e-7)
    assert math.log(estimate.high) == pytest.approx(min(high, 700), rel=1e-7, abs=1e-7)


def test_interval_by_hand():
    # logs 0, 1, 2: mean 1, variance 1, t(0.975; 2) = 4.302653 from a printed table
    estimate = log_t_interval([1.0, math.e, math.e**2])
    reach = 4.302653 / math.sqrt(3)
    assert estimate.value == pytest.approx(math.e)
    assert estimate.low == pytest.approx(math.exp(1 - reach), rel=1e-6)
    assert estimate.high == pytest.approx(math.exp(1 + reach), rel=1e-6)
    assert estimate.count == 3


def test_one_run_has_an_estimate_and_no_interval():
    estimate = log_t_interval([7.0])
    assert (estimate.value, estimate.low, estimate.high, estimate.count) == (pytest.approx(7.0), None, None, 1)


def test_equal_values_have_no_interval_unless_their_resolution_is_known():
    unknown, known = log_t_interval([20.0] * 5), log_t_interval([20.0] * 5, resolution=0.4)
    assert (unknown.value, unknown.low, unknown.high, unknown.count) == (pytest.approx(20.0), None, None, 5)
    assert (known.low, known.high) == (pytest.approx(20 * math.exp(-0.01)), pytest.approx(20 * math.exp(0.01)))


def test_an_interval_reaches_half_a_step_at_least():
    # Nine values on one step, one on the next: Student alone would reach 2.262 * 0.316 / sqrt(10) = 0.226 steps.
    estimate = log_t_interval([10.0] * 9 + [10.2])
    assert math.log(estimate.high / estimate.low) == pytest.approx(math.log(1.02))
    wide = log_t_interval([9.0, 10.0, 11.0, 12.0, 13.0], resolution=0.1)
    assert wide == log_t_interval([9.0, 10.0, 11.0, 12.0, 13.0])


def coverage(draw, sets=1500, **fields):
    """Share of `sets` whose interval holds the true value, which is 1; no interval holds everything."""
    dice = np.random.default_rng(1908)
    found = [log_t_interval(list(draw(dice)), **fields) for _ in range(sets)]
    return sum(one.low is None or one.low <= 1 <= one.high for one in found) / sets


@pytest.mark.parametrize("spread", [0.0, 0.004, 0.01, 0.02, 0.05])
@pytest.mark.parametrize("place", [0.0, 0.25, 0.5])
def test_intervals_of_rounded_values_cover(spread, place):
    # Steps of 2 %, as evaluations are spaced; the truth lies on a step, beside it, or half-way to the next.
    def draw(dice):
        logs = spread * dice.standard_normal(5)
        return np.exp(0.02 * (np.round(logs / 0.02 + place) - place))

    assert coverage(draw, resolution=0.02 * 1.0001) >= 0.93
    assert coverage(draw) >= 0.93


def test_intervals_of_heavy_tailed_values_cover():
    for freedom in (2, 3, 5):
        assert coverage(lambda dice, freedom=freedom: np.exp(0.03 * dice.standard_t(freedom, 5))) >= 0.93


def test_intervals_over_the_means_of_sessions_cover_what_holds_beyond_them():
    # Five sessions of three runs: as much scatter between sessions as within.
    def draw(dice):
        return np.exp(0.05 * dice.standard_normal((5, 1)) + 0.05 * dice.standard_normal((5, 3)))

    assert coverage(lambda dice: [geometric_mean(list(session)) for session in draw(dice)]) >= 0.93
    assert coverage(lambda dice: draw(dice).ravel()) < 0.9  # runs of one session are no independent values


def test_interval_scales_with_the_unit():
    seconds = log_t_interval([1.0, 1.1, 1.3])
    milliseconds = log_t_interval([1000.0, 1100.0, 1300.0])
    for name in ("value", "low", "high"):
        assert getattr(milliseconds, name) == pytest.approx(1000 * getattr(seconds, name))


def test_rates_and_times_give_reciprocal_intervals():
    times = log_t_interval([1.0, 1.1, 1.3])
    rates = log_t_interval([1 / 1.0, 1 / 1.1, 1 / 1.3])
    assert (rates.low, rates.high) == (pytest.approx(1 / times.high), pytest.approx(1 / times.low))


def test_log_t_interval_of_five_runs_covers_the_truth_about_95_times_in_100():
    # The function itself is checked against scipy above; here the rule is simulated, vectorised, and the
    # function is required to agree with the vectorised rule on a sample of the sets.
    truth, sets = 20.0, 2000
    values = truth * np.exp(0.05 * np.random.default_rng(1909).standard_normal((sets, 5)))
    logs = np.log(values)
    reach = 2.7764451 * logs.std(axis=1, ddof=1) / math.sqrt(5)
    covered = np.abs(logs.mean(axis=1) - math.log(truth)) <= reach
    assert 0.93 <= covered.mean() <= 0.97
    for row in range(0, sets, 20):
        estimate = log_t_interval(list(values[row]))
        assert (estimate.low <= truth <= estimate.high) == covered[row]


def test_estimates_that_spread_beyond_floats_stay_finite():
    estimate = log_t_interval([1e-300, 1e300])
    assert 0 <= estimate.low < estimate.high < math.inf


@pytest.mark.parametrize("bad", [[], [1.0, 0.0], [1.0, -2.0], [math.inf], [math.nan]])
def test_values_without_a_logarithm_are_refused(bad):
    with pytest.raises(ValueError, match=r"needs"):
        log_t_interval(bad)


def test_variance_needs_two_values():
    assert variance([1.0, 3.0]) == pytest.approx(2.0)
    with pytest.raises(ValueError, match="at least 2"):
        variance([1.0])


@pytest.mark.parametrize(
    ("freedom", "printed"), [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (30, 2.042)]
)  # a printed table of Student's t, two-sided 5 %
def test_t_quantiles_equal_a_printed_table(freedom, printed):
    assert t_quantile(0.975, freedom) == pytest.approx(printed, abs=6e-4)
    assert t_two_sided_p(printed, freedom) == pytest.approx(0.05, abs=1e-4)


@pytest.mark.parametrize(("successes", "trials"), [(0, 5), (3, 5), (5, 5), (1, 1), (17, 20)])
def test_wilson_interval_equals_scipys(successes, trials):
    from scipy.stats import binomtest

    expected = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    share = wilson_interval(successes, trials)
    assert (share.value, share.low, share.high) == (
        successes / trials,
        pytest.approx(expected.low, abs=1e-9),
        pytest.approx(expected.high, abs=1e-9),
    )


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (-1, 3), (4, 3)])
def test_wilson_interval_refuses_impossible_counts(successes, trials):
    with pytest.raises(ValueError, match="needs one trial"):
        wilson_interval(successes, trials)


def test_expected_time_is_all_time_over_successes():
    assert expected_time_to_success_s([10.0, 10.0, 40.0], successes=2) == 30.0
    assert expected_time_to_success_s([10.0, 20.0], successes=0) is None


def test_expected_time_is_the_mean_of_a_geometric_number_of_attempts():
    # Attempts of 10 s that succeed with chance 1/2 need two on average: 20 s.
    succeeded = np.random.default_rng(5).random(20_000) < 0.5
    assert expected_time_to_success_s([10.0] * 20_000, int(succeeded.sum())) == pytest.approx(20.0, rel=0.02)


@settings(deadline=None)
@given(TIMES, st.integers(min_value=1), st.floats(min_value=1e-3, max_value=1e6))
def test_a_failing_run_always_raises_expected_time_to_success(times_s, successes, failed_s):
    successes = 1 + successes % len(times_s)
    before = expected_time_to_success_s(times_s, successes)
    after = expected_time_to_success_s([*times_s, failed_s], successes)
    assert after >= before
    assert after > before or failed_s < 1e-9 * sum(times_s)


@pytest.mark.parametrize(("times_s", "successes"), [([1.0], 2), ([1.0], -1), ([-1.0], 1), ([math.inf], 1)])
def test_expected_time_refuses_impossible_input(times_s, successes):
    with pytest.raises(ValueError, match=r"needs|not a finite"):
        expected_time_to_success_s(times_s, successes)


def test_standing_by_number_of_runs():
    assert [standing(count) for count in range(7)] == ["anecdote"] * 3 + ["provisional"] * 2 + ["ranked"] * 2


def test_importing_the_statistics_loads_no_scipy():
    import subprocess
    import sys

    code = (
        "import sys; import oildrop.rules.comparison, oildrop.rules.summary; "
        "print([name for name in sys.modules if name.startswith('scipy')])"
    )
    found = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
