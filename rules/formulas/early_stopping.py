"""How many queries it takes to trust a percentile: the binomial early-stopping bound.

A system keeps a percentile p when at most a share 1 - p of all its queries would be over the limit. Of n queries t
were. If the true share were larger than 1 - p, so few would be seen with a chance of at most P(X <= t), X binomial with
n and 1 - p. Where that chance is at most 1 - 0.99, the run is long enough.

Source: MLCommons inference policies, section "Early stopping", and load generator `early_stopping.cc` (confidence 0.99,
tolerance 0), read 2026-11-25; the tests compare with the load generator itself.
"""

from __future__ import annotations

from collections.abc import Sequence

CONFIDENCE = 0.99
SLACK = 1e-12
"""Of 1 - CONFIDENCE, which is no exact binary fraction."""

FORMULA = "early_stopping/1"


def is_enough(queries: int, over: int, percentile: float) -> bool:
    """Whether `over` of `queries` being over the limit shows that the percentile is kept, at confidence 0.99."""
    from scipy.special import bdtr

    return queries > over and float(bdtr(over, queries, 1 - percentile)) <= 1 - CONFIDENCE + SLACK


def least_queries(over: int, percentile: float) -> int:
    """Fewest queries of which `over` may be over the limit: 459 for none at p99; grows with `over`."""
    high = over + 1
    while not is_enough(high, over, percentile):
        high *= 2
    low = high // 2  # not enough, or no more than `over`
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle, over, percentile) else (middle, high)
    return high


def least_queries_for_estimate(percentile: float) -> int:
    """Fewest queries for which a percentile can be estimated with confidence: 64 at p90, 662 at p99, 6,636 at p99.9."""
    return least_queries(1, percentile)


def estimate(ordered: Sequence[float], percentile: float) -> float | None:
    """A value that the percentile is under, at confidence 0.99; None for too few values.

    The largest t of which `len(ordered)` values are enough is looked for; the t-th value from the top would be over a
    limit set right under it, all before it not.

    Args:
        ordered: Latencies from the smallest; infinite ones never ended.
    """
    count = len(ordered)
    if count < least_queries_for_estimate(percentile):
        return None
    low, high = 1, count  # enough for `low`, never for `high`
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_enough(count, middle, percentile) else (low, middle)
    return ordered[count - low]
