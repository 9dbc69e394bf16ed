"""Does a run, or a set of runs, converge as the reference does? Two-sided, and with its power stated.

Everything is worked out on ln samples to target. The independent unit of a point is the seed: runs of one seed share
weights and data on every framework and dtype, so forty runs of twenty seeds know the mean as twenty do.

A run whose seed is also among the reference's makes both checks careful: it deviates less from a mean that it
resembles, so false alarms are rarer than stated, never more frequent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from oildrop.rules.records import Record
from oildrop.rules.reference import ReferencePoint, ReferenceRun
from oildrop.rules.statistics import logs_of, t_two_sided_p, variance
from oildrop.rules.statistics_two_sets import POWER, minimum_detectable_ratio

SINGLE_ALPHA = 0.001
"""Chance that the check of one run raises a false alarm: one of 200 sound sets of five is then looked at in vain."""

SET_ALPHA = 0.05
"""Chance that the check of a set raises a false alarm.

Source: the level of MLPerf training's check of convergence points, which is one-sided (may not converge faster);
    half of it is spent on either side here.
"""

Side = Literal["fewer", "more"]

ADVICE: dict[Side, str] = {
    "fewer": "too fast: look at the data and the seeds (documents seen twice, evaluation items in training)",
    "more": "too slow: look at the numerics (dtype, sums, optimizer state), which are likely broken",
}


class Expected(Record):
    """What the reference expects of ln samples to target at one batch size.

    Attributes:
        log_sd: Standard deviation of one run.
        log_mean_error: Standard error of `log_mean`.
        batches: The batch sizes that it comes from: one, or the two neighbours of an interpolation.
    """

    batch: int
    log_mean: float
    log_sd: float
    log_mean_error: float
    degrees_of_freedom: int
    batches: tuple[int, ...]

    @property
    def samples(self) -> float:
        """Geometric mean of samples to target."""
        return math.exp(self.log_mean)


class Deviation(Record):
    """How far samples to target lie from what the reference expects.

    Attributes:
        found: Samples to target: a run's, or the geometric mean of a set.
        ratio: `found` over expected.
        deviations: ln ratio in standard errors of the difference: Student's t; None where nothing scatters.
        alpha: Level at which `side` was decided, two-sided.
        detectable: Smallest ratio above 1 that as many runs would show with chance `power`.
        side: On which side a claim is made; None when the difference is within chance.
    """

    runs: int
    expected: Expected
    found: float
    ratio: float
    deviations: float | None
    p_value: float
    alpha: float
    detectable: float
    power: float
    side: Side | None


def expected_of(runs: Sequence[ReferenceRun], batch: int) -> Expected:
    """What `runs`, all made at `batch`, expect of another one.

    The variance of one run is the variance between the means of the seeds, plus what averaging within a seed took away
    from it: s^2 = var(seed means) + within (1 - mean of 1/m), m being a seed's runs. Unbiased, and the plain sample
    variance where each seed has one run.

    Raises:
        ValueError: Fewer than two seeds.

    Source: one-way analysis of variance with a random effect; Searle, Casella and McCulloch,
        "Variance Components" (1992), chapter 3.
    """
    by_seed: dict[int, list[float]] = {}
    for run in runs:
        by_seed.setdefault(run.seed_index, []).append(math.log(run.samples_to_target))
    groups = list(by_seed.values())
    means = [math.fsum(group) / len(group) for group in groups]
    between = variance(means)
    within = _within(groups, means)
    taken = 1 - math.fsum(1 / len(group) for group in groups) / len(groups)
    return Expected(
        batch=batch,
        log_mean=math.fsum(means) / len(means),
        log_sd=math.sqrt(between + within * taken),
        log_mean_error=math.sqrt(between / len(means)),
        degrees_of_freedom=len(means) - 1,
        batches=(batch,),
    )


def _within(groups: Sequence[Sequence[float]], means: Sequence[float]) -> float:
    """Variance among runs of one seed, pooled over the seeds; 0 where each has one run."""
    freedom = sum(len(group) - 1 for group in groups)
    squares = math.fsum((value - mean) ** 2 for group, mean in zip(groups, means, strict=True) for value in group)
    return squares / freedom if freedom else 0.0


def expected_at(points: Sequence[ReferencePoint], batch: int) -> Expected | None:
    """What a tier's `points` (ascending by batch) expect at `batch`; None outside the range that they cover.

    Between two points ln samples, its standard deviation and its standard error are linear in ln batch. The errors
    of neighbours add up as if wholly correlated, since neighbours share their seeds. How far the true curve bends
    between two points is not known and not counted: a claim there is as good as the points are close.
    """
    for point in points:
        if point.batch == batch:
            return expected_of(point.runs, batch)
    for low, high in pairwise(points):
        if low.batch < batch < high.batch:
            return _between(expected_of(low.runs, low.batch), expected_of(high.runs, high.batch), batch)
    return None


def _between(low: Expected, high: Expected, batch: int) -> Expected:
    share = math.log(batch / low.batch) / math.log(high.batch / low.batch)
    return Expected(
        batch=batch,
        log_mean=(1 - share) * low.log_mean + share * high.log_mean,
        log_sd=(1 - share) * low.log_sd + share * high.log_sd,
        log_mean_error=(1 - share) * low.log_mean_error + share * high.log_mean_error,
        degrees_of_freedom=min(low.degrees_of_freedom, high.degrees_of_freedom),
        batches=(low.batch, high.batch),
    )


def check_run(
    samples_to_target: float, expected: Expected, *, alpha: float = SINGLE_ALPHA, power: float = POWER
) -> Deviation:
    """One run against the distribution that the reference predicts for one more run, on both sides.

    t = (ln x - mean) / sqrt(s^2 + error^2) with the reference's degrees of freedom; the root is s sqrt(1 + 1/n)
    where each of n seeds has one run.

    Raises:
        ValueError: `samples_to_target` is not positive and finite.

    Source: prediction interval of one further normal observation; Hahn and Meeker,
        "Statistical Intervals" (1991), section 4.7.
    """
    return _deviation([samples_to_target], expected, alpha, power)


def check_set(
    samples_to_target: Sequence[float], expected: Expected, *, alpha: float = SET_ALPHA, power: float = POWER
) -> Deviation:
    """The mean of a set of independent runs against the reference's mean, on both sides.

    Student's t with the variance of both sides pooled, since runs that converge as the reference does scatter as it
    does: exact, where Welch's test raises false alarms in 7 % of sound sets of three instead of 5 % (simulated).

    Raises:
        ValueError: No run, or a value that is not positive and finite.

    Source: Student's two-sample t; Mood, Graybill and Boes, "Introduction to the Theory of Statistics", 3rd ed.,
        section IX.4.3.
    """
    return _deviation(samples_to_target, expected, alpha, power)


def detectable_ratio(runs: int, expected: Expected, *, alpha: float, power: float = POWER) -> float:
    """Smallest true ratio above 1 that `runs` runs would show with chance `power`; below 1 it is one over it.

    Exact for runs that scatter as the reference does, up to how well its scatter is known.

    Raises:
        ValueError: Fewer than one run.

    Source: power of the t test from the noncentral t; Cohen, "Statistical Power Analysis", 2nd ed., ch. 2.
    """
    if runs < 1:
        raise ValueError(f"{runs} runs: needs at least 1")
    freedom = expected.degrees_of_freedom + runs - 1
    return minimum_detectable_ratio(
        expected.log_sd * _error_per_sd(runs, expected), freedom, power=power, level=1 - alpha
    )


def _error_per_sd(runs: int, expected: Expected) -> float:
    """Standard error of the difference between a set's mean and the expected one, over one run's deviation."""
    known = (expected.log_mean_error / expected.log_sd) ** 2 if expected.log_sd else 0.0
    return math.sqrt(1 / runs + known)


def _deviation(samples_to_target: Sequence[float], expected: Expected, alpha: float, power: float) -> Deviation:
    logs = logs_of(samples_to_target)
    own = variance(logs) if len(logs) > 1 else 0.0
    freedom = expected.degrees_of_freedom + len(logs) - 1
    pooled = (expected.degrees_of_freedom * expected.log_sd**2 + (len(logs) - 1) * own) / freedom
    error = math.sqrt(pooled) * _error_per_sd(len(logs), expected)
    away = math.fsum(logs) / len(logs) - expected.log_mean
    deviations = away / error if error else None
    certain = 0.0 if away else 1.0  # without any scatter the means are either equal or not
    p_value = certain if deviations is None else t_two_sided_p(deviations, freedom)
    return Deviation(
        runs=len(logs),
        expected=expected,
        found=math.exp(expected.log_mean + away),
        ratio=math.exp(away),
        deviations=deviations,
        p_value=p_value,
        alpha=alpha,
        detectable=detectable_ratio(len(logs), expected, alpha=alpha, power=power),
        power=power,
        side=None if p_value >= alpha else "fewer" if away < 0 else "more",
    )


def describe(deviation: Deviation) -> str:
    """Found and expected, how far apart and how likely by chance, and what as many runs would show."""
    expected, runs = deviation.expected, "1 run" if deviation.runs == 1 else f"{deviation.runs} runs"
    between = f", interpolated between {' and '.join(map(str, expected.batches))}" if len(expected.batches) > 1 else ""
    away = "" if deviation.deviations is None else f"{abs(deviation.deviations):.1f} deviations, "
    side = "more" if deviation.ratio >= 1 else "fewer"
    return (
        f"{deviation.found:.0f} samples to target, {100 * abs(deviation.ratio - 1):.1f} % {side} than the "
        f"{expected.samples:.0f} that the reference expects at batch {expected.batch}{between} "
        f"(ratio {deviation.ratio:.3f}, {away}p = {deviation.p_value:.1g}); with {runs} this check finds a difference "
        f"of {100 * (deviation.detectable - 1):.1f} % or more in {100 * deviation.power:.0f} % of cases"
    )
