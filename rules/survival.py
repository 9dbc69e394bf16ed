"""Times that are only known to be longer than something: Kaplan and Meier's curve and its median.

A run that reached the target has its time; one that used up its samples is censored at the time that this
took; one that failed never reaches the target, so its time is infinite.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from oildrop.rules.records import Record
from oildrop.rules.statistics import LEVEL, normal_quantile


class Step(NamedTuple):
    """The curve from one time, at which somebody reached the target, to the next.

    Attributes:
        time: In the unit of the times.
        at_risk: Runs that had neither reached the target nor been censored before.
        reached: Runs that reached it at this time.
        unreached: Share that has not reached the target after this time, dimensionless.
        low: Lower end of the share's interval, with `high`; None once the share is 0.
    """

    time: float
    at_risk: int
    reached: int
    unreached: float
    low: float | None
    high: float | None


class Median(Record):
    """Time by which half of the runs reach the target, in the unit of the times.

    Attributes:
        value: None where fewer than half reached it.
        low: Lower end of the interval, None where nothing bounds it; `high` likewise.
    """

    value: float | None
    low: float | None
    high: float | None
    count: int


def kaplan_meier(times: Sequence[float], reached: Sequence[bool], level: float = LEVEL) -> tuple[Step, ...]:
    """Share of runs that have not reached the target, as a step curve, with log-log intervals.

    Args:
        times: Of a run that reached the target its time; else the time up to which it is known not to have, which
            is infinite for a failure. A run censored at a time counts as still at risk then.
        reached: Whether each did.
        level: Coverage of each step's interval.

    Raises:
        ValueError: No run, lengths that differ, or a time that is negative, NaN, or infinite though reached.

    Source: Kaplan & Meier, "Nonparametric estimation from incomplete observations", J. Am. Stat. Assoc. 53 (1958);
        variance by Greenwood (1926); intervals on log(-log S), Kalbfleisch & Prentice, 2nd ed. (2002), section 1.4.
    """
    _check(times, reached)
    z = normal_quantile((1 + level) / 2)
    unreached, greenwood, at_risk, steps = 1.0, 0.0, len(times), []
    for time, same in groupby(sorted(zip(times, reached, strict=True)), key=itemgetter(0)):
        marks = [done for _, done in same]
        here = sum(marks)
        if here:
            unreached *= (at_risk - here) / at_risk
            low = high = None
            if here < at_risk:
                greenwood += here / (at_risk * (at_risk - here))
                spread = math.exp(z * math.sqrt(greenwood) / abs(math.log(unreached)))
                low, high = unreached**spread, unreached ** (1 / spread)
            steps.append(Step(time, at_risk, here, unreached, low, high))
        at_risk -= len(marks)
    return tuple(steps)


def median_time(times: Sequence[float], reached: Sequence[bool], level: float = LEVEL) -> Median:
    """Kaplan and Meier's median with the interval of all times at which the curve may be at one half.

    Args and Raises: as `kaplan_meier`.

    Source: Brookmeyer & Crowley, "A confidence interval for the median survival time", Biometrics 38 (1982).
    """
    steps = kaplan_meier(times, reached, level)
    half = 0.5 * (1 + 1e-12)  # a product of fractions that is one half may be rounded just above it
    return Median(
        value=next((step.time for step in steps if step.unreached <= half), None),
        low=next((step.time for step in steps if step.low is None or step.low <= half), None),
        high=next((step.time for step in steps if step.high is not None and step.high < 0.5), None),
        count=len(times),
    )


def _check(times: Sequence[float], reached: Sequence[bool]) -> None:
    if not times or len(times) != len(reached):
        raise ValueError(f"{len(times)} times and {len(reached)} marks: needs one mark a time, and one time at least")
    for time, done in zip(times, reached, strict=True):
        if math.isnan(time) or time < 0 or (done and math.isinf(time)):
            raise ValueError(f"time {time!r}: needs a number >= 0, finite where the target was reached")
