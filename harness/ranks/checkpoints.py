"""Where a run goes on after a crash: its state after an evaluation, in a scratch folder that ends with the run."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oildrop.harness.loop import Kept, Position
from oildrop.workloads.protocols import Evaluation, TrainTask

EVERY_S = 30.0
"""Least time between two: a checkpoint costs time that counts, a crash costs at most this much work."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A checkpoint on disk."""

    path: Path
    samples: int
    steps: int


class Checkpoints:
    """Takes one when it is due; rank 0 decides and writes, all ranks hand in their parts.

    Args:
        writes: Whether this process is the one that writes.
    """

    def __init__(
        self, folder: Path, *, writes: bool, every_s: float = EVERY_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = folder
        self._writes = writes
        self._every_s = every_s
        self._clock = clock
        self._last_s = -math.inf

    def evaluated(self, task: TrainTask, position: Position) -> None:
        """An evaluation has ended and training will go on: take a checkpoint if one is due."""
        if not task.agreed(self._clock() - self._last_s >= self._every_s):
            return
        state = task.snapshot()
        if self._writes:
            _write(self._folder, state, position)
        self._last_s = self._clock()


def newest(folder: Path) -> Found | None:
    """The last checkpoint written to `folder`, or None."""
    found = []
    for path in folder.glob("*.npz"):
        samples, steps = (int(part) for part in path.stem.split("-"))
        found.append(Found(path=path, samples=samples, steps=steps))
    return max(found, key=lambda one: one.samples, default=None)


def read(found: Found) -> tuple[dict[str, NDArray[Any]], Position]:
    """The state in a checkpoint, and where training stood."""
    with np.load(found.path) as archive:
        arrays = dict(archive)
    kept = []
    for samples in sorted({int(key.split("/")[1]) for key in arrays if key.startswith("kept/")}):
        columns = {field.name: arrays.pop(f"kept/{samples}/{field.name}") for field in fields(Evaluation)}
        kept.append(Kept(samples=samples, evaluation=Evaluation(**columns)))
    return arrays, Position(samples=found.samples, steps=found.steps, kept=tuple(kept))


def _write(folder: Path, state: Mapping[str, NDArray[Any]], position: Position) -> None:
    """Whole or not at all: a rank may be killed while it writes."""
    kept = {
        f"kept/{each.samples}/{field.name}": getattr(each.evaluation, field.name)
        for each in position.kept
        for field in fields(Evaluation)
    }
    before = newest(folder)
    path = folder / f"{position.samples}-{position.steps}.npz"
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, **{**state, **kept})
    os.replace(part, path)
    if before is not None:
        before.path.unlink()
