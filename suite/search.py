"""Which rate to try next on the way to the highest one that holds a scenario's bounds. Pure.

While only one side is known the rate is multiplied or divided; between the highest rate that held and the
lowest that did not, the next one halves the bracket on a logarithmic scale. Each rate lies inside what is
still open, so no later answer can contradict an earlier one, however noisy the system.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from oildrop.rules.rulebook_parts import Terms

RATE_ONLY = frozenset({"target_missed", "timeout", "oom"})
"""Outcomes that a lower rate may mend."""

LATE = "invalid"
"""A lower rate may mend it, as where the generator could not keep up, if a lower one is known to hold."""

STEP_DOWN = 1.25
"""By how much a rate is lowered once when the run at the rate found misses the bounds after all."""

SHORT_RUN_S = 60.0
"""Scenarios whose least time is shorter are only tried out, and so is their highest rate."""

LONGEST = 4.0
"""A run that is only tried out may take so many times its least time to issue the least number of queries."""

DIGITS = 3
"""Significant digits of a rate, so that a person can repeat it."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """How a search goes about it.

    Attributes:
        first_per_s: Queries a second that are tried first.
        factor: What the rate is multiplied or divided by while one side of the bracket is unknown; above 1.
        resolution: Ends when the lowest missed rate is at most so many times the highest held one; above 1.
        least_per_s: Lowest rate that is tried; at a lower one the least number of queries takes too long.
        most_probes: Most rates that are tried.
        finals: Runs at the rate found.
    """

    first_per_s: float
    factor: float
    resolution: float
    least_per_s: float
    most_probes: int
    finals: int


@dataclass(frozen=True, kw_only=True)
class Step:
    """One run of a search: a `probe` on the way, or a run of kind `serve` at the rate found."""

    kind: Literal["probe", "serve"]
    rate_per_s: float


@dataclass(frozen=True, kw_only=True)
class Done:
    """A step that was made, and how it ended."""

    step: Step
    outcome: str

    @property
    def held(self) -> bool:
        """Whether the bounds held at this rate."""
        return self.outcome == "ok"


def search_of(terms: Terms, first_per_s: float, *, finals: int, deadline_s: float) -> Search:
    """The search at a tier: three coarse steps at most where runs are only tried out, else to within 5 % in twelve.

    Args:
        first_per_s: Where it begins, `terms.first_rate_per_s`.
        finals: Runs at the rate found.
        deadline_s: What one run may take in all.
    """
    short = terms.minimum_s < SHORT_RUN_S
    longest_s = LONGEST * terms.minimum_s if short else deadline_s / 2
    return Search(
        first_per_s=first_per_s,
        factor=4.0 if short else 2.0,
        resolution=1.1 if short else 1.05,
        least_per_s=terms.minimum_queries / longest_s,
        most_probes=3 if short else 12,
        finals=finals,
    )


def next_step(search: Search, done: Sequence[Done]) -> Step | None:
    """What to run after `done`, in order; None when the search and its final runs are over."""
    probes = [one for one in done if one.step.kind == "probe"]
    finals = [one for one in done if one.step.kind == "serve"]
    rate = None if finals else _next_probe(search, probes)
    if rate is not None:
        return Step(kind="probe", rate_per_s=rate)
    return _next_final(search, probes, finals)


def bracket(probes: Sequence[Done]) -> tuple[float | None, float | None]:
    """The highest rate that held and the lowest that did not, queries a second; None where there is none."""
    low = max((one.step.rate_per_s for one in probes if one.held), default=None)
    high = min((one.step.rate_per_s for one in probes if not one.held), default=None)
    return low, high


def _next_probe(search: Search, probes: Sequence[Done]) -> float | None:
    if len(probes) >= search.most_probes or not _tells_the_way(probes):
        return None
    low, high = bracket(probes)
    if low is None and high is None:
        return _rounded(search.first_per_s)
    if high is None and low is not None:
        return _rounded(low * search.factor)
    if low is None and high is not None:
        lower = _lowered(search, high, search.factor)
        return lower if lower < high else None
    if low is None or high is None or high / low <= search.resolution:
        return None
    middle = _rounded((low * high) ** 0.5)
    return middle if low < middle < high else None


def _next_final(search: Search, probes: Sequence[Done], finals: Sequence[Done]) -> Step | None:
    """A run at the rate found; after the first that missed all others are made at a lower one, and one more of them."""
    rate = _found(search, probes)
    missed = any(one.outcome in (*RATE_ONLY, LATE) for one in finals) and _tells_the_way(probes)
    missed = missed and _lowered(search, rate, STEP_DOWN) < rate
    if len(finals) >= search.finals + missed:
        return None
    return Step(kind="serve", rate_per_s=_lowered(search, rate, STEP_DOWN) if missed else rate)


def _found(search: Search, probes: Sequence[Done]) -> float:
    """The highest rate that held; where none did, one below all that were tried, or the one that failed otherwise."""
    low, high = bracket(probes)
    if low is not None:
        return low
    if high is None or not _tells_the_way(probes):
        return _rounded(search.first_per_s if high is None else high)
    return _lowered(search, high, search.factor)


def _lowered(search: Search, rate_per_s: float, by: float) -> float:
    """A lower rate, but none under the least; the same one where it is there already."""
    return min(rate_per_s, max(_rounded(rate_per_s / by), _rounded(search.least_per_s)))


def _tells_the_way(probes: Sequence[Done]) -> bool:
    """Whether the last probe's end tells which way to go; a crash at one rate is one at every rate."""
    if not probes or probes[-1].held or probes[-1].outcome in RATE_ONLY:
        return True
    return probes[-1].outcome == LATE and any(one.held for one in probes)


def _rounded(rate_per_s: float) -> float:
    return float(f"{rate_per_s:.{DIGITS}g}")
