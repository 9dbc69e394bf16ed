"""Ranks as intervals: a configuration's best and worst place, given which others it can be told from.

A pair is told apart by the very test that `comparison.compare` applies to it (the tests hold the two together),
so a rank never contradicts a comparison, and whether two differ never depends on who else entered.
Here the tests run on whole matrices of pairs, as a board of thousands needs.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.catalogue import CATALOGUE
from oildrop.rules.rank_tests import ALPHA, BoolMatrix, Times, faster_by_rank
from oildrop.rules.set_runs import SetRun, counted_of
from oildrop.rules.statistics import EQUAL, t_quantile
from oildrop.rules.statistics_two_sets import paired_ratio, rank_sum_test, shows_no_scatter

Matrix = NDArray[np.float64]
Key = TypeVar("Key", bound=Hashable)

_BLOCK = 64
"""Rows of pairs that are looked at together: all of them at once would fill the memory with a long board's."""

_NORMAL = NormalDist().inv_cdf(1 - ALPHA / 2)
"""Quantile that Student's t approaches from above."""

_SURE_VARIANCE = 1e-11
"""Variance of log ratios under which sums over a whole board are too coarse, and the pair is tested by itself."""


def rank_intervals(sets: Sequence[Sequence[SetRun]]) -> list[tuple[int, int]]:
    """First and last place that each configuration may hold; equal bounds mean that it is told from all others.

    Args:
        sets: The runs of each configuration, of one metric, one that counts at least.

    Returns:
        For each 1 + the number of those told to be better, and their number less those told to be worse.
    """
    entrants = [_Entrant.of(runs) for runs in sets]
    if not entrants:
        return []
    better = _League(entrants).told_better()
    best, worst = 1 + better.sum(axis=0), len(sets) - better.sum(axis=1)
    return list(zip(best.tolist(), worst.tolist(), strict=True))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entrant:
    """One configuration as the tests take it.

    Attributes:
        times: Ascending, lower is better, infinite for a run that did not end ok.
        known: Whether no run is invalid and each that ended ok has a value above 0: of others nothing is claimed.
        by_run: Logarithms, lower is better; none where a run failed, as in `by_session` and `by_seed`.
        by_session: Mean logarithm of each session.
        by_seed: Mean logarithm of each seed.
    """

    system: frozenset[str]
    times: Times
    known: bool
    by_run: Sequence[float]
    by_session: Sequence[float]
    by_seed: dict[int | None, float]

    @classmethod
    def of(cls, runs: Sequence[SetRun]) -> _Entrant:
        counted = counted_of(runs)
        outcomes = [run.outcome for run in counted]
        values = [
            value
            for run, outcome in zip(counted, outcomes, strict=True)
            if outcome == "ok" and (value := run.value) is not None and value > 0
        ]
        sign = 1 if CATALOGUE[str(counted[0].metric)].better == "lower" else -1
        ok = outcomes.count("ok")
        logs = [sign * math.log(value) for value in values] if ok == len(counted) == len(values) else []
        times = values if sign > 0 else [1 / value for value in values]
        times = times + [math.inf] * (len(counted) - len(values))
        return cls(
            system=frozenset([run.system_id for run in counted]),
            times=tuple(sorted(times)),
            known=ok == len(values) and "invalid" not in [run.outcome for run in runs],
            by_run=logs,
            by_session=list(_means([run.session_id for run in counted], logs).values()),
            by_seed=_means([run.seed for run in counted], logs),
        )


def _means(keys: Sequence[Key], logs: Sequence[float]) -> dict[Key, float]:
    """Mean logarithm of each key; nothing without logarithms."""
    if not logs:
        return {}
    groups = dict(zip(keys, logs, strict=True))
    if len(groups) < len(logs):
        gathered: dict[Key, list[float]] = {}
        for key, log in zip(keys, logs, strict=True):
            gathered.setdefault(key, []).append(log)
        groups = {key: math.fsum(several) / len(several) for key, several in gathered.items()}
    return groups


class _League:
    """All entrants as vectors, and the matrices of their pairs, a block of rows at a time."""

    def __init__(self, entrants: Sequence[_Entrant]) -> None:
        self.entrants = entrants
        systems = {system: code for code, system in enumerate(dict.fromkeys(each.system for each in entrants))}
        self.system = np.array([systems[each.system] for each in entrants])
        self.failing = np.array([math.isinf(each.times[-1]) for each in entrants])
        self.known = np.array([each.known for each in entrants])
        self.sessions = np.array([len(each.by_session) for each in entrants])
        self.runs_as_units = _Units([each.by_run for each in entrants])
        self.sessions_as_units = _Units([each.by_session for each in entrants])
        self.pairs = _Pairs([each.by_seed for each in entrants])

    def told_better(self) -> BoolMatrix:
        """Whether entrant i (rows) is told to be better than j (columns)."""
        count = len(self.entrants)
        by_rank = (self.failing[:, None] | self.failing) & self.known[:, None] & self.known
        np.fill_diagonal(by_rank, False)
        told = faster_by_rank([each.times for each in self.entrants], by_rank)
        for start in range(0, count, _BLOCK):
            rows = slice(start, min(start + _BLOCK, count))
            order = self._orders(rows, slice(start, count))
            told[rows, start:] |= order < 0
            told[start:, rows] |= (order > 0).T
        return told

    def _orders(self, rows: slice, columns: slice) -> NDArray[np.int8]:
        """-1 where the row is told to be better, 1 where the column is, by the t test that the pair calls for."""
        claimed = self.known & ~self.failing
        open_ = claimed[rows, None] & claimed[columns]
        several = self.sessions >= 2
        apart = (self.system[rows, None] != self.system[columns]) & several[rows, None] & several[columns]
        paired, order, alone = self.pairs.orders(rows, columns)
        order = np.where(open_ & ~apart & paired, order, 0).astype(np.int8)
        for units, mask in ((self.sessions_as_units, open_ & apart), (self.runs_as_units, open_ & ~apart & ~paired)):
            if mask.any():
                order += units.orders(rows, columns, mask)
        for i, j in np.argwhere(open_ & ~apart & paired & alone).tolist():
            if rows.start + i < columns.start + j:
                order[i, j] = _paired_order(self.entrants[rows.start + i], self.entrants[columns.start + j])
        return order


class _Units:
    """Welch's test on the logarithms of independent values."""

    def __init__(self, values: Sequence[Sequence[float]]) -> None:
        self.mean, self.square = np.full((2, len(values)), math.nan)
        for places, logs in _of_one_length(values):
            self.mean[places] = logs.mean(axis=1)
            self.square[places] = logs.var(axis=1, ddof=1) / logs.shape[1]
        self.step, self.equal = _steps(values)
        self.freedom = np.array([len(logs) - 1 for logs in values])

    def orders(self, rows: slice, columns: slice, mask: BoolMatrix) -> NDArray[np.int8]:
        """As `_League._orders`, of the pairs in `mask` and 0 elsewhere."""
        i, j = (places[mask] for places in np.broadcast_arrays(*np.ogrid[rows, columns]))
        distance = self.mean[i] - self.mean[j]
        square = self.square[i] + self.square[j]
        away = np.abs(distance)
        least, error = np.minimum(self.freedom[i], self.freedom[j]), np.sqrt(square)
        told = away > error * _critical(least)
        near = ~told & (away > error * _NORMAL) & (error > 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            weight = (
                self.square[i[near]] ** 2 / self.freedom[i[near]] + self.square[j[near]] ** 2 / self.freedom[j[near]]
            )
            told[near] = _two_sided_p(away[near] / error[near], square[near] ** 2 / weight) < ALPHA
        told &= away > np.maximum(self.step[i], self.step[j])
        level = self.equal[i] & self.equal[j]
        told[level] = (away[level] > EQUAL) & _told_if_separate(self.freedom[i[level]] + 1, self.freedom[j[level]] + 1)
        order = np.zeros(mask.shape, dtype=np.int8)
        order[mask] = np.where(told, np.sign(distance), 0)
        return order


class _Pairs:
    """Student's test on log ratios of runs with the same seed, by products of matrices of seeds."""

    def __init__(self, seeds: Sequence[dict[int | None, float]]) -> None:
        places: dict[int | None, list[int]] = {}
        for place, logs in enumerate(seeds):
            for seed in logs:
                places.setdefault(seed, []).append(place)
        shared = [seed for seed, holders in places.items() if len(holders) > 1]
        self.held, self.logs = np.zeros((2, len(seeds), len(shared)))
        for column, seed in enumerate(shared):
            values = np.array([seeds[place][seed] for place in places[seed]])
            self.held[places[seed], column] = 1
            self.logs[places[seed], column] = values - values.mean()  # small numbers, whose squares stay exact
        self.squared = self.logs**2
        self.count = np.array([len(logs) for logs in seeds])
        self.step, equal = _steps([list(logs.values()) for logs in seeds])
        self.tied = equal | (self.step > 0)

    def orders(self, rows: slice, columns: slice) -> tuple[BoolMatrix, NDArray[np.int8], BoolMatrix]:
        """Which pairs are paired, their orders as of `_League._orders`, and which (0 there) must be tested alone."""
        held, logs, squared = self.held, self.logs, self.squared
        common = held[rows] @ held[columns].T
        paired = (common >= 2) & (2 * common >= np.minimum(self.count[rows, None], self.count[columns]))
        size = np.maximum(common, 2)
        mean = (logs[rows] @ held[columns].T - held[rows] @ logs[columns].T) / size
        squares = squared[rows] @ held[columns].T + held[rows] @ squared[columns].T - 2 * logs[rows] @ logs[columns].T
        spread = (squares - size * mean**2) / (size - 1)
        reach = np.sqrt(np.maximum(spread, 0) / size) * _critical((size - 1).astype(np.int64))
        away = np.abs(mean)
        partly = common < np.maximum(self.count[rows, None], self.count[columns])
        alone = (spread < _SURE_VARIANCE) | (partly & (self.tied[rows, None] | self.tied[columns]))
        told = ~alone & (away > reach) & (away > np.maximum(self.step[rows, None], self.step[columns]))
        return paired, np.where(told, np.sign(mean), 0).astype(np.int8), alone


def _of_one_length(values: Sequence[Sequence[float]]) -> Iterator[tuple[NDArray[np.intp], Matrix]]:
    """Places of the lists of each length from two on, and these lists as rows."""
    lengths = np.array([len(each) for each in values])
    for length in np.unique(lengths[lengths > 1]).tolist():
        places = np.flatnonzero(lengths == length)
        yield places, np.array([values[place] for place in places.tolist()])


def _steps(values: Sequence[Sequence[float]]) -> tuple[Matrix, BoolMatrix]:
    """`statistics.log_step` of every list of logarithms, 0 where it has none; and of which all are equal."""
    step, equal = np.zeros(len(values)), np.zeros(len(values), dtype=bool)
    for places, logs in _of_one_length(values):
        gaps = np.diff(np.sort(logs, axis=1), axis=1)
        least = np.where(gaps > EQUAL, gaps, math.inf).min(axis=1)
        equal[places] = np.isinf(least)
        step[places] = np.where((gaps > EQUAL).all(axis=1) | equal[places], 0.0, least)
    return step, equal


def _paired_order(one: _Entrant, other: _Entrant) -> int:
    """-1 when `one` is told to be better, 1 when `other` is, 0 when they are tied, from their common seeds."""
    seeds = [seed for seed in one.by_seed if seed in other.by_seed]
    sides = [[math.exp(each.by_seed[seed]) for seed in seeds] for each in (one, other)]
    mean = math.fsum(one.by_seed[seed] - other.by_seed[seed] for seed in seeds) / len(seeds)
    level = shows_no_scatter(*sides, paired=True)
    p_value = rank_sum_test(*sides).p_value if level else paired_ratio(sides[0], sides[1]).p_value
    return int(np.sign(mean)) if p_value < ALPHA and not (level and abs(mean) <= EQUAL) else 0


def _critical(freedom: NDArray[np.int64]) -> Matrix:
    """Quantiles of Student's t that two-sided tests at `ALPHA` need, a degree of freedom each."""
    table = np.array([math.nan, *(t_quantile(1 - ALPHA / 2, each) for each in range(1, max(0, freedom.max()) + 1))])
    return table[np.maximum(freedom, 0)]


def _two_sided_p(t: Matrix, freedom: Matrix) -> Matrix:
    from scipy.special import stdtr

    p_values: Matrix = 2 * stdtr(freedom, -np.abs(t))
    return p_values


@lru_cache(maxsize=4096)
def _separate_p(first: int, second: int) -> float:
    return rank_sum_test([0.0] * first, [1.0] * second).p_value


def _told_if_separate(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the exact rank test tells apart sets of these sizes, each of one value, that of one below the other's."""
    told = np.zeros(first.shape, dtype=np.bool_)
    for sizes in set(zip(first.tolist(), second.tolist(), strict=True)):
        told[(first == sizes[0]) & (second == sizes[1])] = _separate_p(*sizes) < ALPHA
    return told
