"""Ratios, rank tests and power of two sets, against scipy.stats, enumeration and simulation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oildrop.rules.statistics_two_sets import (
    holm,
    minimum_detectable_ratio,
    paired_ratio,
    rank_sum_test,
    runs_needed,
    shows_no_scatter,
    welch_ratio,
)

A = [10.1, 9.7, 10.4, 9.9, 10.8]
B = [12.3, 12.9, 11.8, 12.6, 13.3]


def test_paired_ratio_equals_scipys_related_t_on_logs():
    from scipy.stats import ttest_rel

    expected = ttest_rel(np.log(A), np.log(B))
    interval = expected.confidence_interval(0.95)
    ratio = paired_ratio(A, B)
    assert ratio.p_value == pytest.approx(float(expected.pvalue), rel=1e-9)
    assert math.log(ratio.low) == pytest.approx(float(interval.low), rel=1e-9)
    assert math.log(ratio.high) == pytest.approx(float(interval.high), rel=1e-9)
    assert (ratio.paired, ratio.count, ratio.degrees_of_freedom) == (True, 5, 4)


@pytest.mark.parametrize("b", [B, B[:2], [*B, 9.0, 30.0]])
def test_welch_ratio_equals_scipys_unequal_variance_t_on_logs(b):
    from scipy.stats import ttest_ind

    expected = ttest_ind(np.log(A), np.log(b), equal_var=False)
    interval = expected.confidence_interval(0.95)
    ratio = welch_ratio(A, b)
    assert ratio.p_value == pytest.approx(float(expected.pvalue), rel=1e-9)
    assert ratio.degrees_of_freedom == pytest.approx(float(expected.df), rel=1e-9)
    assert math.log(ratio.low) == pytest.approx(float(interval.low), rel=1e-9)
    assert math.log(ratio.high) == pytest.approx(float(interval.high), rel=1e-9)


def test_pairing_takes_out_what_the_pairs_share():
    difficulty = np.array([1.0, 2.0, 4.0, 8.0])
    noise = np.array([1.0, 1.01, 0.99, 1.0])
    first, second = list(1.1 * difficulty * noise), list(difficulty)
    assert paired_ratio(first, second).low > 1
    assert welch_ratio(first, second).low < 1


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.floats(0.01, 1e4)] * 2), min_size=2, max_size=8))
def test_swapping_the_sets_inverts_the_ratio(pairs):
    a, b = [list(side) for side in zip(*pairs, strict=True)]
    for test in (paired_ratio, welch_ratio):
        if shows_no_scatter(a, b, paired=test is paired_ratio):
            continue
        forward, backward = test(a, b), test(b, a)
        assert forward.value * backward.value == pytest.approx(1)
        assert math.log(forward.low) == pytest.approx(-math.log(backward.high), rel=1e-6, abs=1e-9)
        assert forward.p_value == pytest.approx(backward.p_value)


def test_sets_without_scatter_have_no_t_interval():
    for first, second, test in [([2.0, 2.0], [1.0, 1.0], welch_ratio), ([2.0, 4.0], [1.0, 2.0], paired_ratio)]:
        assert shows_no_scatter(first, second, paired=test is paired_ratio)
        with pytest.raises(ValueError, match="rank test"):
            test(first, second)
    assert not shows_no_scatter([2.0, 4.0], [1.0, 2.0], paired=False)
    assert not shows_no_scatter([2.0, 2.0], [1.0, 1.1], paired=True)


def test_a_ratio_is_never_finer_than_the_step_that_its_values_show():
    # Nine of ten values on one step and one on the next: the t interval alone would reach 0.23 steps.
    step = math.log(1.02)
    lumpy, smooth = [10.0] * 9 + [10.2], [10.2 * math.exp(1e-4 * place) for place in range(10)]
    ratio = welch_ratio(lumpy, smooth)
    assert math.log(ratio.high / ratio.low) / 2 == pytest.approx(step)
    assert ratio.p_value > 0.05
    free = [value * math.exp(1e-6 * place) for place, value in enumerate(lumpy)]  # as scattered, without ties
    assert welch_ratio(free, smooth).p_value < 0.001


@pytest.mark.parametrize("spread", [0.1, 0.3, 0.5, 1.0])
def test_rounded_values_of_one_source_seldom_seem_to_differ(spread):
    # Rounding is worst for a source half-way between two steps.
    dice = np.random.default_rng(13)
    told = 0
    for _ in range(400):
        first, second = (list(np.round(100.5 + spread * dice.standard_normal(6))) for _ in range(2))
        if shows_no_scatter(first, second, paired=False):
            told += rank_sum_test(first, second).p_value < 0.05
        else:
            told += welch_ratio(first, second).p_value < 0.05
    assert told / 400 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 400)


def test_unpaired_lengths_are_refused():
    with pytest.raises(ValueError, match="2 and 1 values do not pair"):
        paired_ratio([1.0, 2.0], [1.0])


def enumerate_rank_p(first, second):
    """The definition itself: every way to deal the pooled mid-ranks."""
    from scipy.stats import rankdata

    ranks = rankdata([*first, *second])
    centre = len(first) * ranks.mean()
    seen = abs(ranks[: len(first)].sum() - centre)
    ways = [abs(sum(chosen) - centre) >= seen - 1e-9 for chosen in itertools.combinations(ranks, len(first))]
    return sum(ways) / len(ways)


SMALL = st.lists(st.sampled_from([1.0, 2.0, 3.0, 4.0, math.inf]), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(SMALL, SMALL)
def test_rank_test_equals_enumeration_with_ties_and_failures(first, second):
    assert rank_sum_test(first, second).p_value == pytest.approx(enumerate_rank_p(first, second), abs=1e-12)


def test_rank_test_equals_scipys_exact_one_without_ties():
    from scipy.stats import mannwhitneyu

    generator = np.random.default_rng(3)
    for sizes in [(5, 5), (7, 4), (12, 12)]:
        first, second = (list(generator.random(size)) for size in sizes)
        expected = mannwhitneyu(first, second, method="exact")
        found = rank_sum_test(first, second)
        assert found.p_value == pytest.approx(float(expected.pvalue), abs=1e-12)
        assert found.smaller_first == pytest.approx(1 - expected.statistic / (sizes[0] * sizes[1]))


@pytest.mark.parametrize(("count", "least"), [(3, 2 / 20), (4, 2 / 70), (5, 2 / 252)])
def test_rank_test_cannot_go_below_its_smallest_p(count, least):
    first, second = range(count), range(100, 100 + count)
    assert rank_sum_test(first, second).p_value == pytest.approx(least)


def test_all_failures_on_both_sides_say_nothing():
    test = rank_sum_test([math.inf] * 4, [math.inf] * 3)
    assert (test.p_value, test.smaller_first) == (1.0, 0.5)


def test_rank_test_refuses_nan_and_empty_sets():
    with pytest.raises(ValueError, match="NaN"):
        rank_sum_test([1.0], [math.nan])
    with pytest.raises(ValueError, match="at least 1"):
        rank_sum_test([], [1.0])


def test_holm_by_hand():
    # sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1 and made monotone: 0.04, 0.06, 0.06, 0.06
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx((0.06, 0.04, 0.06, 0.06))
    assert holm([0.9, 0.8]) == (1.0, 1.0)
    assert holm([0.2]) == (0.2,)
    assert holm([]) == ()


@pytest.mark.parametrize(("paired", "count"), [(True, 5), (False, 5), (False, 3)])
def test_the_minimum_detectable_ratio_is_detected_four_times_in_five(paired, count):
    sd, sets = 0.05, 4000
    error, freedom = (sd / math.sqrt(count), count - 1) if paired else (sd * math.sqrt(2 / count), 2 * (count - 1))
    ratio = minimum_detectable_ratio(error, freedom)
    generator = np.random.default_rng(11)
    first = math.log(ratio) + sd * generator.standard_normal((sets, count))
    if paired:
        spread = first.std(axis=1, ddof=1) / math.sqrt(count)
        t = first.mean(axis=1) / spread
    else:
        second = sd * generator.standard_normal((sets, count))
        spread = np.sqrt((first.var(axis=1, ddof=1) + second.var(axis=1, ddof=1)) / count)
        t = (first.mean(axis=1) - second.mean(axis=1)) / spread
    from scipy.stats import t as student

    detected = np.abs(t) > student.ppf(0.975, freedom)
    assert detected.mean() == pytest.approx(0.80, abs=0.02)


@pytest.mark.parametrize(("paired", "sets"), [(True, 1), (False, 2)])
def test_runs_needed_is_the_first_number_that_suffices(paired, sets):
    from scipy.stats import nct, t

    def power(count):  # of a t test on pairs, or on two equal sets, from the noncentral t
        freedom, away = sets * (count - 1), math.log(1.05) / (0.05 * math.sqrt(sets / count))
        return nct.sf(t.ppf(0.975, freedom), freedom, away)

    needed = runs_needed(0.05, 1.05, paired=paired)
    assert power(needed) >= 0.8 > power(needed - 1)


@given(st.floats(0.001, 1.0), st.floats(1.01, 2.0), st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_smaller_difference_never_needs_fewer_runs(sd, ratio, paired):
    needed = runs_needed(sd, ratio, paired=paired)
    assert runs_needed(sd, math.sqrt(ratio), paired=paired) >= needed >= 2
    assert runs_needed(sd, 1 / ratio, paired=paired) == needed


@pytest.mark.parametrize("ratio", [1, 0, -2])
def test_no_number_of_runs_shows_no_difference(ratio):
    with pytest.raises(ValueError, match="other than 1"):
        runs_needed(0.05, ratio, paired=True)
