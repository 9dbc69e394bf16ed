"""Ranks as intervals, against the comparisons that they stand for, one pair at a time."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from oildrop.rules.comparison import Side, SideRun, compare
from oildrop.rules.rank_tests import rank_z
from oildrop.rules.ranks import rank_intervals as intervals_of
from oildrop.rules.set_runs import SetRun


def set_run(time_s, *, seed, system="s1", session="day1", benchmark="lm-pretrain", **fields):
    """One training run; an infinite time is a crash."""
    ok = math.isfinite(time_s)
    return SetRun(
        benchmark=benchmark, tier="nano", backend="torch-cpu", division="closed", workload_id="w", system_id=system,
        software_id="f", set_id="set", outcome="ok" if ok else "crash", seeds_chosen=False, kind="to_target",
        value=time_s if ok else None, elapsed_s=30.0, seed=seed, session_id=session, **fields,
    )  # fmt: skip


def rank_intervals(sets):
    """Of times alone: all on one system, without a seed in common."""
    return intervals_of(
        [[set_run(time, seed=100 * place + k) for k, time in enumerate(times)] for place, times in enumerate(sets)]
    )


def side_of(label, runs):
    return Side(
        label=label, benchmark="lm-pretrain", benchmark_sha256="ab" * 32, tier="nano", kind="to_target", target=0.5,
        runs=tuple(
            SideRun(
                seed=run.seed, session_id=run.session_id, system_id=run.system_id, outcome=run.outcome,
                seeds_chosen=run.seeds_chosen, values={"time_to_target_s": run.value},
            )
            for run in runs
        ),
    )  # fmt: skip


def by_comparison(sets):
    """The definition itself: every pair compared by `compare`."""
    better = [
        [i != j and compare(side_of("A", a), side_of("B", b)).verdict == "a_better" for j, b in enumerate(sets)]
        for i, a in enumerate(sets)
    ]
    count = range(len(sets))
    return [(1 + sum(better[j][i] for j in count), len(sets) - sum(better[i][j] for j in count)) for i in count]


TIME = st.one_of(
    st.sampled_from([10.0, 10.5, 11.0]),  # rounded: ties, and sets without scatter
    st.floats(9.0, 12.0),
    st.just(math.inf),
)
OK_TIME = st.floats(9.0, 12.0)
ROUNDED = st.sampled_from([10.0, 10.5])


@st.composite
def entrants(draw):
    """Runs of one configuration: some share seeds, some sit in several sessions."""
    times = draw(st.lists(draw(st.sampled_from([TIME, OK_TIME, ROUNDED])), min_size=2, max_size=6))
    scale, first = draw(st.sampled_from([1.0, 1.3, 2.0])), draw(st.sampled_from([0, 0, 2, 50]))
    sessions, system = draw(st.integers(1, 3)), draw(st.sampled_from(["s1", "s2"]))
    again = draw(st.booleans())
    return [
        set_run(scale * time, seed=first + (k // 2 if again else k), system=system, session=f"{system}-{k % sessions}")
        for k, time in enumerate(times)
    ]


@settings(deadline=None, max_examples=150)
@given(st.lists(entrants(), min_size=2, max_size=5))
def test_ranks_say_what_the_comparison_of_each_pair_says(sets):
    assert intervals_of(sets) == by_comparison(sets)


@settings(deadline=None, max_examples=50)
@given(st.lists(entrants(), min_size=2, max_size=4), entrants())
def test_an_entrant_never_flips_a_pair(sets, entrant):
    before, after = intervals_of(sets), intervals_of([*sets, entrant])
    for (best, worst), (new_best, new_worst) in zip(before, after, strict=False):
        assert new_best - best in (0, 1) and new_worst - worst in (0, 1)
    for i, j in itertools.combinations(range(len(sets)), 2):
        assert intervals_of([sets[i], sets[j]]) == by_comparison([sets[i], sets[j]])


def test_sets_without_scatter_are_ranked_by_their_counts():
    four, five = [10.0] * 4, [12.0] * 5
    assert rank_intervals([four, five]) == [(1, 1), (2, 2)]  # p = 1/126: the other way round is less far
    assert rank_intervals([[10.0] * 3, [12.0] * 3]) == [(1, 2), (1, 2)]  # p = 2/20, both ways round
    assert rank_intervals([[10.0] * 2, [9.0] * 5]) == [(2, 2), (1, 1)]  # p = 1/21


def test_blocks_of_rows_do_not_show(monkeypatch):
    dice = random.Random(5)
    sets = [
        [set_run(10 * math.exp(0.1 * place + dice.gauss(0, 0.1)), seed=k, session=f"d{k % 2}") for k in range(5)]
        for place in range(11)
    ]
    whole = intervals_of(sets)
    monkeypatch.setattr("oildrop.rules.ranks._BLOCK", 3)
    assert intervals_of(sets) == whole == by_comparison(sets)


def test_rates_are_better_when_higher():
    def rates(values, first):
        return [replace(set_run(value, seed=first + k), kind="fixed_work") for k, value in enumerate(values)]

    fast, slow = rates([30.0, 30.5, 31.0, 29.5, 30.2], 0), rates([20.0, 20.5, 21.0, 19.5, 20.2], 9)
    assert intervals_of([slow, fast]) == [(2, 2), (1, 1)]


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
