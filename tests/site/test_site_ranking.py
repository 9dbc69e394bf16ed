"""Ranks as intervals, against the tests that they stand for, one pair at a time."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
from scipy import stats

from oildrop.site.pages.ranking import rank_intervals, rank_z


def by_hand(sets):
    """The same by scipy, every pair tested in full."""
    faster = [[False] * len(sets) for _ in sets]
    for i, j in itertools.permutations(range(len(sets)), 2):
        a, b = sets[i], sets[j]
        if all(map(math.isfinite, [*a, *b])):
            told = stats.ttest_ind([math.log(x) for x in a], [math.log(x) for x in b], equal_var=False).pvalue < 0.05
            faster[i][j] = told and sum(map(math.log, a)) / len(a) < sum(map(math.log, b)) / len(b)
        else:
            ranks = stats.rankdata([x if math.isfinite(x) else 1e300 for x in [*a, *b]])
            mine, mean = ranks[: len(a)].sum(), len(a) * (len(a) + len(b) + 1) / 2
            sums = [sum(choice) for choice in itertools.combinations(ranks, len(a))]
            share = sum(abs(total - mean) >= abs(mine - mean) - 1e-9 for total in sums) / len(sums)
            faster[i][j] = share < 0.05 and mine < mean
    return [
        (1 + sum(faster[j][i] for j in range(len(sets))), len(sets) - sum(faster[i][j] for j in range(len(sets))))
        for i in range(len(sets))
    ]


@pytest.mark.parametrize("seed", range(6))
def test_ranks_agree_with_every_pair_tested_in_full(seed):
    dice = random.Random(seed)
    sets = []
    for _ in range(7):
        times = [10 * math.exp(dice.gauss(0, 0.3)) for _ in range(dice.choice((5, 6)))]
        scale = dice.choice((1.0, 1.3, 2.0, 8.0))
        failures = dice.choice((0, 0, 0, 1, 3, 5))
        sets.append([time * scale for time in times][failures:] + [math.inf] * min(failures, len(times)))
    assert rank_intervals(sets) == by_hand(sets)


def test_sets_that_cannot_be_told_apart_share_their_places():
    close, far = [10.0, 10.2, 9.9, 10.1, 10.05], [20.0, 20.2, 19.9, 20.1, 20.05]
    assert rank_intervals([close, [x * 1.001 for x in close], far]) == [(1, 2), (1, 2), (3, 3)]


def test_sets_of_five_are_told_apart_where_welch_tells_them():
    spread = [math.exp(0.1 * step) for step in (-2, -1, 0, 1, 2)]
    # The variance of the logs is 0.025, so the standard error of a difference 0.1; t(0.975) is 2.306 at 8 degrees.
    for distance, told in ((0.19, False), (0.22, False), (0.24, True), (0.27, True), (0.29, True)):
        slower = [time * math.exp(distance) for time in spread]
        assert rank_intervals([spread, slower]) == ([(1, 1), (2, 2)] if told else [(1, 2), (1, 2)]), distance


def test_whether_two_sets_differ_does_not_depend_on_a_third():
    a, b, c = [1.0, 1.1, 1.2, 1.3, 1.05], [1.15, 1.2, 1.4, 1.25, 1.3], [9.0, 9.1, 9.2, 9.3, 9.4]
    pair, with_third = rank_intervals([a, b]), rank_intervals([a, b, c])
    assert with_third[:2] == pair and with_third[2] == (3, 3)


def test_failures_tie_worst():
    steady, shaky = [10.0, 10.1, 10.2, 10.3, 10.4], [1.0] + [math.inf] * 4
    dead = [math.inf] * 5
    assert rank_intervals([dead, dead]) == [(1, 2), (1, 2)]
    assert rank_intervals([steady, dead]) == [(1, 1), (2, 2)]
    assert rank_intervals([steady, shaky]) == [(1, 2), (1, 2)]  # exact p = 0.19
    assert rank_intervals([]) == []


def test_rank_statistic_is_the_textbook_one():
    inf = math.inf
    sets = [
        [1.0, 2.0, 4.0, inf],
        [3.0, 5.0, 6.0, inf, inf],
        [2.0, 2.0, 3.0, 3.0, 3.0, 9.0],
        [2.0, 3.0, 9.0, 9.0, inf],
        [inf, inf, inf],
        [inf, inf],
    ]
    pairs = list(itertools.permutations(range(len(sets)), 2))
    found = rank_z(sets, *np.array(pairs).T)
    for (i, j), z in zip(pairs, found.tolist(), strict=True):
        if math.isinf(sets[i][0]) and math.isinf(sets[j][0]):
            assert z == 0
            continue
        big = [[x if math.isfinite(x) else 1e9 for x in sets[place]] for place in (i, j)]
        p = stats.mannwhitneyu(*big, use_continuity=False, method="asymptotic").pvalue
        assert 2 * stats.norm.sf(abs(z)) == pytest.approx(p), (sets[i], sets[j])
        lower = sum((x < y) - (x > y) for x in big[0] for y in big[1])
        assert (z < 0) == (lower > 0), (sets[i], sets[j])
