"""Where the quality crossed the target, between the last two evaluations."""

from __future__ import annotations


def crossing_fraction(quality_before: float, quality_after: float, target: float) -> float:
    """Share of the way from the evaluation before to the one after at which quality met the target.

    Linear in quality (formula time_to_target/1). `quality_before` misses the target and `quality_after`
    meets it; both ways of better work. 1.0 when the later one meets it exactly.

    Raises:
        ValueError: The target does not lie between the two.
    """
    low, high = sorted((quality_before, quality_after))
    if not low <= target <= high or quality_before == quality_after:
        raise ValueError(f"target {target} is not between {quality_before} and {quality_after}")
    return (quality_before - target) / (quality_before - quality_after)


def between(before: float, after: float, fraction: float) -> float:
    """The value `fraction` of the way from `before` to `after`."""
    return before + (after - before) * fraction
