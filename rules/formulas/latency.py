"""Percentiles of latencies, and rates of single requests; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
"""Those that every latency is given at, by the ending of the metric's name."""


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value under which `share` of the values lie (formula percentile/1): number ⌊n share⌋, the smallest being 0.

    No interpolation: it is the latency of a request that was made.

    Args:
        ordered: From the smallest; an infinite value is a request that never got its answer.
        share: From 0 up to, without, 1.

    Raises:
        ValueError: There is no value.

    Source: MLCommons load generator, `results.cc`, read 2026-11-25.
    """
    if not ordered:
        raise ValueError("a percentile needs one value at least")
    return ordered[int(len(ordered) * share)]


def time_per_output_token_s(first_ns: int, last_ns: int, tokens: int) -> float:
    """Mean time of a token after the first (formula tpot/1), seconds: (last - first) / (tokens - 1).

    Raises:
        ValueError: There are fewer than two tokens.
    """
    if tokens < 2:
        raise ValueError(f"{tokens} tokens have no time between them")
    return (last_ns - first_ns) / 1e9 / (tokens - 1)


def rate_per_s(amount: int, duration_ns: int) -> float:
    """`amount` a second over `duration_ns`; infinite where no time passed."""
    return amount / (duration_ns / 1e9) if duration_ns > 0 else math.inf
