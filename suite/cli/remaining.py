"""How long a run and its set still take, from what is usual and what finished runs took. Pure; times in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean


def expected_train_s(
    *, samples: int, elapsed_s: float, usual_samples: float | None, reference_s: float | None
) -> float | None:
    """How long training takes in all: at this machine's own rate where the samples to target are known.

    Args:
        samples: Consumed in `elapsed_s`.
        usual_samples: What the reference runs took to the target; None where there are none.
        reference_s: The reference machine's time, for want of anything better.
    """
    if usual_samples is None or not samples or not elapsed_s:
        return reference_s
    return elapsed_s * usual_samples / samples


def run_left_s(elapsed_s: float, expected_s: float | None) -> float | None:
    """Time left of a run that trained `elapsed_s` of about `expected_s`; None when nobody knows or it is over that."""
    return None if expected_s is None or elapsed_s > expected_s else expected_s - elapsed_s


def set_left_s(*, run_left: float | None, run_wall_s: float, runs_after: int, took_s: Sequence[float]) -> float | None:
    """Time left of a set: this run, then `runs_after` more as long as those that ended (`took_s`), else as this one."""
    if run_left is None:
        return None
    typical_s = fmean(took_s) if took_s else run_wall_s + run_left
    return run_left + runs_after * typical_s
