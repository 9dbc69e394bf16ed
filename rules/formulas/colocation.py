"""What two runs at once lose against each alone, and what they draw together; pure."""

from __future__ import annotations

from collections.abc import Sequence

Window = tuple[int, int]
"""First and last instant, nanoseconds on one clock."""


def overlap_ns(one: Window, other: Window) -> Window | None:
    """When both clocks ran: from the later start to the earlier stop; None where that is no time at all."""
    start_ns, stop_ns = max(one[0], other[0]), min(one[1], other[1])
    return (start_ns, stop_ns) if stop_ns > start_ns else None


def inside(window: Window, bounds: Window) -> bool:
    """Whether `window` lies wholly in `bounds`."""
    return bounds[0] <= window[0] and window[1] <= bounds[1]


def amount_inside(amounts: Sequence[float], windows: Sequence[Window], bounds: Window) -> float:
    """Work done within `bounds` (formula overlap_work/1): of each window's amount the share of its time there.

    A window is a block of equal steps, so that its work is spread evenly over it.
    """
    total = 0.0
    for amount, window in zip(amounts, windows, strict=True):
        common = overlap_ns(window, bounds)
        if common is not None:
            total += amount * (common[1] - common[0]) / (window[1] - window[0])
    return total


def loss_fraction(ratio: float) -> float:
    """Share of a rate that is lost beside another run (formula colocation_loss/1): 1 - together / alone.

    0: nothing is lost; 0.5: half of it; under 0: it ran faster than alone.
    """
    return 1 - ratio


def energy_ratio(together_j: float, alone_j: Sequence[float]) -> float:
    """Energy of work done at once over that of the same work one after the other (formula colocation_energy_ratio/1).

    Under 1 the device does both more cheaply at once.

    Args:
        together_j: What the device drew while both ran, both runs' work being in it, joules.
        alone_j: What each run's share of that work draws alone: its energy alone, a unit of work, times the units.

    Raises:
        ValueError: The work takes no energy alone.
    """
    total_j = sum(alone_j)
    if total_j <= 0:
        raise ValueError(f"{total_j} J is no energy to compare with")
    return together_j / total_j
