"""Statistics of one set of runs: means, intervals, rates, and how much a number of runs can carry.

The unit is the independent run. Times and rates are worked on as logarithms, where their errors
are close to symmetric, so every estimate is a geometric mean and every interval a ratio. Two sets
are compared in `statistics_two_sets.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from operator import sub
from statistics import NormalDist
from typing import Literal

from oildrop.rules.records import Record

Standing = Literal["anecdote", "provisional", "ranked"]

LEVEL = 0.95
"""Coverage of every interval that the rulebook prints."""

EQUAL = 1e-9
"""Logarithms that lie closer count as equal: no clock or meter tells such values apart."""

PROVISIONAL_RUNS = 3
RANKED_RUNS = 5


class Estimate(Record):
    """One number with its interval, in the unit of the values that it came from.

    Attributes:
        low: Lower end of the interval; None where one value, or equal values of unknown resolution, leave it unknown.
        high: Upper end, likewise.
        count: Independent values behind it.
    """

    value: float
    low: float | None
    high: float | None
    count: int


def geometric_mean(values: Sequence[float]) -> float:
    """Exponential of the mean logarithm, in the values' unit.

    Raises:
        ValueError: No value, or one that is not positive and finite.
    """
    return math.exp(_mean(logs_of(values)))


def log_t_interval(values: Sequence[float], level: float = LEVEL, resolution: float | None = None) -> Estimate:
    """Geometric mean with Student's t interval on the logarithms, in the values' unit.

    The interval reaches at least half a step to each side, where a step is `resolution`, or else what the values
    show of it. One value has no interval (`low` and `high` are None), nor have equal ones of unknown resolution:
    scatter that is finer than what was read off leaves no trace in them.

    Args:
        values: At least one.
        level: Coverage.
        resolution: Step to which the values were rounded, in their unit; None where it is not known.

    Raises:
        ValueError: No value, or one that is not positive and finite.

    Source: Student, "The probable error of a mean", Biometrika 6 (1908), on logarithms;
        Mood, Graybill & Boes, "Introduction to the Theory of Statistics", 3rd ed., section VIII.2.
    """
    logs = logs_of(values)
    mean = _mean(logs)
    value, count = math.exp(mean), len(logs)
    step = log_step(logs) if resolution is None else resolution / value
    if count < 2 or step is None:
        return Estimate(value=value, low=None, high=None, count=count)
    reach = max(t_quantile((1 + level) / 2, count - 1) * math.sqrt(_variance(logs, mean) / count), step / 2)
    return Estimate(value=value, low=antilog(mean - reach), high=antilog(mean + reach), count=count)


def log_step(logs: Sequence[float]) -> float | None:
    """Step to which values were rounded, as far as their logarithms show it.

    The least distance between two that differ, where some are equal; 0 where none are. None where all are equal.
    """
    ordered = sorted(logs)
    gaps = list(map(sub, ordered[1:], ordered))
    if not gaps or min(gaps) > EQUAL:
        return 0.0
    return min((gap for gap in gaps if gap > EQUAL), default=None)


@lru_cache(maxsize=4096)
def wilson_interval(successes: int, trials: int, level: float = LEVEL) -> Estimate:
    """Share of successes (1) with Wilson's score interval, which never leaves 0 to 1.

    Raises:
        ValueError: No trial, or successes outside 0 to `trials`.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference",
        J. Am. Stat. Assoc. 22 (1927), p. 209.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials: needs one trial and 0 <= successes <= trials")
    z = normal_quantile((1 + level) / 2)
    share = successes / trials
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    reach = z / (1 + z**2 / trials) * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    low = 0.0 if successes == 0 else centre - reach
    high = 1.0 if successes == trials else centre + reach
    return Estimate(value=share, low=low, high=high, count=trials)


def expected_time_to_success_s(elapsed_s: Sequence[float], successes: int) -> float | None:
    """Time that one success costs when attempts repeat until one succeeds, seconds; no interval is claimed.

    All time, of failed and successful attempts alike, over the successes. None without a success:
    then nothing bounds it from above.

    Args:
        elapsed_s: Time spent on every attempt, seconds.
        successes: How many of them succeeded.

    Raises:
        ValueError: More successes than attempts, or a time that is negative or not finite.

    Source: Hansen et al., "Real-parameter black-box optimization benchmarking 2010", INRIA RR-7215 (ERT).
    """
    return _spent_a_success(elapsed_s, successes, "time", "s")


def expected_energy_to_success_j(energies_j: Sequence[float], successes: int) -> float | None:
    """Energy that one success costs, joules: as `expected_time_to_success_s`, of the energy of every attempt."""
    return _spent_a_success(energies_j, successes, "energy", "J")


def _spent_a_success(spent: Sequence[float], successes: int, what: str, unit: str) -> float | None:
    if not 0 <= successes <= len(spent):
        raise ValueError(f"{successes} successes of {len(spent)} attempts: needs 0 <= successes <= attempts")
    if not all([0 <= each < math.inf for each in spent]):
        bad = next(each for each in spent if not 0 <= each < math.inf)
        raise ValueError(f"{what} {bad!r} {unit} is not a finite number >= 0; leave an unknown {what} out of the call")
    return math.fsum(spent) / successes if successes else None


def standing(run_count: int) -> Standing:
    """What `run_count` independent runs may be called: under 3 an anecdote, 3 or 4 provisional, 5 or more ranked."""
    if run_count < PROVISIONAL_RUNS:
        return "anecdote"
    return "provisional" if run_count < RANKED_RUNS else "ranked"


def logs_of(values: Sequence[float]) -> list[float]:
    """Natural logarithms. Raises ValueError for none, or one value that is not positive and finite."""
    if not values:
        raise ValueError("0 values: needs at least 1")
    try:
        logs = list(map(math.log, values))
    except ValueError:
        logs = [math.nan]
    if math.isfinite(sum(logs)):
        return logs
    bad = next(value for value in values if not 0 < value < math.inf)
    raise ValueError(f"value {bad!r} has no logarithm: needs a finite number above 0; count it as a failure")


def antilog(logarithm: float) -> float:
    """Exponential, held just below overflow: an interval that wide says nothing, and a record holds no infinity."""
    return math.exp(min(logarithm, 700.0))


def variance(values: Sequence[float]) -> float:
    """Unbiased sample variance. Raises ValueError for fewer than two values."""
    if len(values) < 2:
        raise ValueError(f"{len(values)} value has no variance: needs at least 2")
    return _variance(values, _mean(values))


@lru_cache(maxsize=4096)
def t_quantile(probability: float, degrees_of_freedom: float) -> float:
    """Quantile of Student's t (fractional degrees of freedom allowed)."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees_of_freedom, probability))


@lru_cache(maxsize=64)
def normal_quantile(probability: float) -> float:
    """Quantile of the standard normal distribution."""
    return NormalDist().inv_cdf(probability)


def t_two_sided_p(t: float, degrees_of_freedom: float) -> float:
    """Chance that Student's t lies at least as far from 0 as `t`."""
    from scipy.special import stdtr

    return float(2 * stdtr(degrees_of_freedom, -abs(t)))


def _variance(values: Sequence[float], mean: float) -> float:
    return math.fsum([(value - mean) ** 2 for value in values]) / (len(values) - 1)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
