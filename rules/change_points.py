"""When a configuration changed: change points in a row of independent values, such as one of each session.

Both the search and its threshold are by permutation: values that do not change may come in any order, so a
history without a change shows one with a chance of 5 % at most, whatever the shape of its scatter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.records import Record
from oildrop.rules.statistics import EQUAL, LEVEL, logs_of

PERMUTATIONS = 1999
"""Orders that are drawn, by a fixed seed: the smallest p-value is 1 in 2,000."""


class ChangePoint(Record):
    """The values from `index` on differ from those before.

    Attributes:
        index: Place of the first value after the change, counted from 0.
        ratio: Geometric mean after over that before, from change to change, dimensionless.
        p_value: Share of orders whose greatest step is at least as great; of the stretch in which it was found.
    """

    index: int
    ratio: float
    p_value: float


def change_points(values: Sequence[float], level: float = LEVEL) -> tuple[ChangePoint, ...]:
    """Change points of `values`, which are in order of time, by binary segmentation of their logarithms.

    The row is split where the step between the means of both parts is greatest in standard errors, if fewer than
    1 - `level` of random orders show one as great; then each part likewise.

    Raises:
        ValueError: A value that is not positive and finite.

    Source: Scott & Knott, "A cluster analysis method for grouping means in the analysis of variance",
        Biometrics 30 (1974), for the segmentation; Pettitt, Appl. Stat. 28 (1979), and Good, "Permutation,
        Parametric, and Bootstrap Tests of Hypotheses", 3rd ed. (2005), for tests of a change by permutation.
    """
    logs = np.array(logs_of(values)) if values else np.array([])
    found = sorted(_splits(logs, 0, 1 - level))
    edges = [0, *(index for index, _ in found), len(logs)]
    means = [float(logs[start:stop].mean()) for start, stop in pairwise(edges) if stop > start]
    return tuple(
        ChangePoint(index=index, ratio=math.exp(means[place + 1] - means[place]), p_value=p_value)
        for place, (index, p_value) in enumerate(found)
    )


def _splits(logs: NDArray[np.float64], offset: int, alpha: float) -> list[tuple[int, float]]:
    """Places of changes, from `offset` on, with their p-values."""
    if len(logs) < 4 or np.ptp(logs) <= EQUAL:
        return []
    steps = _steps(logs[None])[0]
    at = int(steps.argmax()) + 1
    drawn = np.random.default_rng(len(logs)).permuted(np.tile(logs, (PERMUTATIONS, 1)), axis=1)
    as_great = int((_steps(drawn).max(axis=1) >= steps.max() * (1 - EQUAL)).sum())
    p_value = (1 + as_great) / (1 + PERMUTATIONS)
    if p_value >= alpha:
        return []
    before, after = _splits(logs[:at], offset, alpha), _splits(logs[at:], offset + at, alpha)
    return [*before, (offset + at, p_value), *after]


def _steps(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each row and each place of a split, the step between both means in units of its standard error.

    The scatter is left out: it is that of the whole row, and the same for each order of it.
    """
    count = rows.shape[1]
    before = np.arange(1, count)
    centred = rows - rows.mean(axis=1, keepdims=True)
    steps: NDArray[np.float64] = np.abs(centred.cumsum(axis=1)[:, :-1]) / np.sqrt(before * (count - before) / count)
    return steps
