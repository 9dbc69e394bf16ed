"""Both checks of convergence against closed forms, against scipy's own tests, and by simulation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy import stats

from oildrop.rules.reference import ReferencePoint, ReferenceRun
from oildrop.rules.reference_points import (
    SET_ALPHA,
    SINGLE_ALPHA,
    Expected,
    check_run,
    check_set,
    describe,
    detectable_ratio,
    expected_at,
    expected_of,
)

SD = 0.033
TRIALS = 4000


def runs_of(values: Sequence[float], dtype: str = "fp32") -> list[ReferenceRun]:
    return [
        ReferenceRun(
            seed_index=k, seed=k, framework="torch 2", backend="torch-cpu", dtype=dtype, samples_to_target=value
        )
        for k, value in enumerate(values)
    ]


def point_of(batch: int, values: Sequence[float]) -> ReferencePoint:
    return ReferencePoint(
        tier="nano", batch=batch, measured="2026-11-22", oildrop_version="0", system="s", how="h",
        runs=tuple(runs_of(values)),
    )  # fmt: skip


def even(batch: int, middle: float, reach: float) -> ReferencePoint:
    """Ten runs at middle·e^reach and ten at middle·e^-reach: sd = reach √(20/19), standard error reach/√19."""
    return point_of(batch, [middle * math.exp(reach * sign) for sign in (1, -1) * 10])


POINTS = (even(4, 1000.0, 0.02), even(16, 4000.0, 0.04))


def test_between_two_points_ln_samples_are_linear_in_ln_batch() -> None:
    expected = expected_at(POINTS, 8)
    assert expected is not None
    assert expected.samples == pytest.approx(2000.0)
    assert expected.log_sd == pytest.approx(0.03 * math.sqrt(20 / 19))
    assert expected.log_mean_error == pytest.approx(0.03 / math.sqrt(19))
    assert (expected.degrees_of_freedom, expected.batches) == (19, (4, 16))


def test_at_a_point_its_own_runs_speak() -> None:
    expected = expected_at(POINTS, 16)
    assert expected is not None
    assert expected.samples == pytest.approx(4000.0)
    assert (expected.log_sd, expected.batches) == (pytest.approx(0.04 * math.sqrt(20 / 19)), (16,))


@pytest.mark.parametrize("batch", [1, 3, 17, 64])
def test_outside_the_points_nothing_is_expected(batch: int) -> None:
    assert expected_at(POINTS, batch) is None


def test_one_run_is_judged_by_the_prediction_interval() -> None:
    expected = expected_at(POINTS, 8)
    assert expected is not None
    reach = stats.t.ppf(1 - SINGLE_ALPHA / 2, 19) * 0.03 * math.sqrt(21 / 19)
    inside, outside = 2000 * math.exp(reach * 0.999), 2000 * math.exp(reach * 1.001)
    assert check_run(inside, expected).side is None
    assert check_run(outside, expected).side == "more"
    assert check_run(2000**2 / outside, expected).side == "fewer"
    deviation = check_run(outside, expected)
    assert deviation.p_value == pytest.approx(SINGLE_ALPHA, rel=0.02)
    assert deviation.ratio == pytest.approx(outside / 2000)
    assert (deviation.runs, deviation.found) == (1, pytest.approx(outside))


def test_a_set_is_judged_as_by_scipys_two_sample_test() -> None:
    rng = np.random.default_rng(1)
    reference, found = rng.lognormal(7.0, SD, 20).tolist(), rng.lognormal(7.02, 2 * SD, 6).tolist()
    expected = expected_of(runs_of(reference), 8)
    theirs = stats.ttest_ind(np.log(found), np.log(reference), equal_var=True)
    deviation = check_set(found, expected)
    assert deviation.p_value == pytest.approx(theirs.pvalue)
    assert deviation.deviations == pytest.approx(theirs.statistic)
    assert deviation.ratio == pytest.approx(stats.gmean(found) / stats.gmean(reference))


def test_runs_of_one_seed_count_once() -> None:
    values = np.random.default_rng(2).lognormal(7.0, SD, 20).tolist()
    once, twice = expected_of(runs_of(values), 8), expected_of([*runs_of(values, "bf16"), *runs_of(values)], 8)
    assert twice.degrees_of_freedom == once.degrees_of_freedom == 19
    assert twice.log_mean_error == pytest.approx(once.log_mean_error) == pytest.approx(stats.sem(np.log(values)))
    assert twice.log_sd == pytest.approx(once.log_sd) == pytest.approx(np.std(np.log(values), ddof=1))


def test_variance_between_and_within_seeds_by_hand() -> None:
    # ln: seed 0 has 0 and 2, seed 1 has 4 and 6. Means 1 and 5: variance 8. Within: (1+1+1+1)/2 = 2, of which
    # averaging two runs took half: 8 + 1 = 9. Standard error of the mean: sqrt(8/2) = 2.
    runs = [
        *runs_of([math.exp(0), math.exp(4)]),
        *runs_of([math.exp(2), math.exp(6)], "bf16"),
    ]
    expected = expected_of(runs, 8)
    assert expected.log_mean == pytest.approx(3.0)
    assert expected.log_sd == pytest.approx(3.0)
    assert expected.log_mean_error == pytest.approx(2.0)
    assert expected.degrees_of_freedom == 1


def test_without_scatter_only_an_equal_run_passes() -> None:
    expected = Expected(
        batch=8, log_mean=math.log(100), log_sd=0, log_mean_error=0, degrees_of_freedom=19, batches=(8,)
    )
    assert check_run(100.0, expected).side is None
    found = check_run(101.0, expected)
    assert (found.side, found.p_value, found.deviations) == ("more", 0.0, None)


def test_more_runs_find_smaller_differences() -> None:
    expected = expected_at(POINTS, 4)
    assert expected is not None
    found = [detectable_ratio(n, expected, alpha=SET_ALPHA) for n in (2, 3, 5, 10, 100)]
    assert found == sorted(found, reverse=True)
    floor = math.exp((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * expected.log_mean_error)
    assert found[-1] > floor
    with pytest.raises(ValueError, match="0 runs: needs at least 1"):
        detectable_ratio(0, expected, alpha=SET_ALPHA)


def test_a_finding_names_its_numbers_and_its_power() -> None:
    expected = expected_at(POINTS, 8)
    assert expected is not None
    text = describe(check_set([1800.0] * 5, expected))
    # Five equal runs and 19 degrees of s = 0.03 sqrt(20/19): pooled s = 0.03 sqrt(20/23); standard error of the
    # difference 0.03 sqrt(20/23 (1/5 + 1/20)) = 0.01399; ln 0.9 = -0.10536 is 7.53 of them.
    assert "1800 samples to target, 10.0 % fewer than the 2000 that the reference expects at batch 8" in text
    assert "interpolated between 4 and 16 (ratio 0.900, 7.5 deviations, p = 1e-07)" in text
    percent = 100 * (detectable_ratio(5, expected, alpha=SET_ALPHA) - 1)
    assert f"with 5 runs this check finds a difference of {percent:.1f} % or more in 80 % of cases" in text
    # The normal approximation (1.96 + 0.84 standard errors) lies a little under the noncentral t.
    approximate = 100 * (math.exp(2.8016 * 0.03 * math.sqrt(20 / 19 * (1 / 5 + 1 / 20))) - 1)
    assert approximate < percent < 1.08 * approximate


Alarm = Callable[[list[float], Expected], bool]


def rate(runs: int, alarm: Alarm, *, log_ratio: float = 0.0, seed: int = 3) -> float:
    """Share of trials with an alarm: a fresh reference of 20 runs, then `runs` runs that are off by `log_ratio`."""
    rng, alarms = np.random.default_rng(seed), 0
    for _ in range(TRIALS):
        expected = expected_of(runs_of(rng.lognormal(7.0, SD, 20).tolist()), 8)
        alarms += alarm(rng.lognormal(7.0 + log_ratio, SD, runs).tolist(), expected)
    return alarms / TRIALS


def close_to(share: float) -> object:
    """Within four standard errors of the simulation."""
    return pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / TRIALS))


@pytest.mark.parametrize("alpha", [0.05, SINGLE_ALPHA])
def test_one_sound_run_raises_false_alarms_as_stated(alpha: float) -> None:
    assert rate(1, lambda found, expected: check_run(found[0], expected, alpha=alpha).side is not None) == close_to(
        alpha
    )


@pytest.mark.parametrize("runs", [2, 3, 5])
def test_a_sound_set_raises_false_alarms_as_stated(runs: int) -> None:
    assert rate(runs, lambda found, expected: check_set(found, expected).side is not None) == close_to(SET_ALPHA)


@pytest.mark.parametrize("runs", [1, 2, 3, 5, 20])
def test_the_smallest_detectable_ratio_is_found_as_often_as_stated(runs: int) -> None:
    alpha = SINGLE_ALPHA if runs == 1 else SET_ALPHA
    typical = expected_of(runs_of([math.exp(7.0 + sign * SD * math.sqrt(19 / 20)) for sign in (1, -1) * 10]), 8)
    assert typical.log_sd == pytest.approx(SD)
    log_ratio = math.log(detectable_ratio(runs, typical, alpha=alpha))

    def alarm(found: list[float], expected: Expected) -> bool:
        if runs == 1:
            return check_run(found[0], expected).side is not None
        return check_set(found, expected).side is not None

    assert rate(runs, alarm, log_ratio=log_ratio) == close_to(0.8)


def test_seeds_shared_with_the_reference_make_false_alarms_rarer() -> None:
    rng, alarms = np.random.default_rng(5), 0
    for _ in range(TRIALS):
        values = rng.lognormal(7.0, SD, 20).tolist()
        alarms += check_set(values[:5], expected_of(runs_of(values), 8)).side is not None
    assert alarms / TRIALS < SET_ALPHA
