"""Whether prompts that were asked before are answered sooner than new ones: a sign test on pairs.

A pair is two prompts of the same length, one of them asked before, timed one after the other in an order that a draw
decides. Where there is no cache the odds that the ratio new / repeated lies over `MARGIN` are under one half in each
pair, whatever the machine's noise is like; so of n pairs k or more are over it with a chance of at most P(X >= k), X
binomial with n and 1/2.

Source: sign test, Conover, "Practical Nonparametric Statistics", 3rd ed. (1999), section 3.4; the margin is that of the
MLPerf inference audit (TEST04), read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from oildrop.rules.records import Record

FORMULA = "repeated_speedup/1"
MARGIN = 1.1
"""How much sooner a repeated prompt may be answered."""

CHANCE = 1e-3
"""Largest chance that a system without a cache is taken for one with it. The harness's own choice."""

LEAST_PAIRS = 10
"""Fewest of which the sign test can say anything at that chance: all of ten, 1 in 1024."""


class Speedup(Record):
    """How many times sooner repeated prompts were answered.

    Attributes:
        value: Median of the ratios new / repeated.
        low: What that median is at least, but for a chance of `CHANCE` at most; distribution-free.
        pairs: How many there were.
    """

    value: float
    low: float
    pairs: int

    @property
    def is_from_a_cache(self) -> bool:
        """Whether more than `MARGIN` is sure."""
        return self.low > MARGIN


def speedup(new_ns: Sequence[int], repeated_ns: Sequence[int]) -> Speedup | None:
    """The speedup of pairs of times in nanoseconds; None of fewer pairs than `LEAST_PAIRS`.

    Raises:
        ValueError: Unlike numbers of times, or one that is not positive.
    """
    if any(time_ns <= 0 for time_ns in (*new_ns, *repeated_ns)):
        raise ValueError("a time to the first token is not above 0 ns")
    ratios = sorted(new / repeated for new, repeated in zip(new_ns, repeated_ns, strict=True))
    if len(ratios) < LEAST_PAIRS:
        return None
    low = ratios[len(ratios) - least_over(len(ratios))]
    return Speedup(value=median(ratios), low=low, pairs=len(ratios))


def least_over(pairs: int) -> int:
    """Of so many pairs, `LEAST_PAIRS` or more, how many must be over the margin to leave a chance of `CHANCE`."""
    from scipy.special import bdtrc

    return next(over for over in range(pairs + 1) if float(bdtrc(over - 1, pairs, 0.5)) <= CHANCE)
