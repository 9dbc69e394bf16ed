"""Reference convergence points as records: samples to target by batch size, run by run, with their provenance."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from itertools import pairwise
from typing import Self

from pydantic import Field, model_validator

from oildrop.rules.records import Record, Scalar

MINIMUM_RUNS = 20
"""Fewest runs of a point: their standard deviation is then known to about a sixth of itself (1/sqrt(2 (n - 1)))."""


def batch_key(settings: Mapping[str, Scalar]) -> str | None:
    """The setting that says how many samples a step consumes (`data.<what>_per_batch`); None where there is none."""
    return next((key for key in sorted(settings) if key.startswith("data.") and key.endswith("_per_batch")), None)


def batch_in(settings: Mapping[str, Scalar]) -> int | None:
    """Samples a step by `settings`; None where they do not say."""
    key = batch_key(settings)
    value = None if key is None else settings[key]
    return value if isinstance(value, int) and not isinstance(value, bool) else None


class ReferenceRun(Record):
    """One run of a reference point.

    Attributes:
        seed_index: The seed's number in the rulebook's sequence.
        framework: Name and version, such as `torch 2.13.0`.
        samples_to_target: At the interpolated crossing.
    """

    seed_index: int = Field(ge=0)
    seed: int = Field(ge=0, lt=2**53)
    framework: str = Field(min_length=1)
    backend: str = Field(min_length=1)
    dtype: str = Field(min_length=1)
    samples_to_target: float = Field(gt=0)

    @property
    def order(self) -> tuple[str, str, str, int]:
        """What runs are sorted by, and what no two runs of a point share."""
        return self.backend, self.framework, self.dtype, self.seed_index


class ReferencePoint(Record):
    """Reference runs of one tier at one batch size; a point is made, and replaced, as a whole.

    Attributes:
        batch: Samples a step.
        measured: Day of the last run, ISO 8601.
        git_revision: Of the harness that made the runs; None where it was not known.
        system: The machines, in words.
        how: How the runs were made, in words.
    """

    tier: str
    batch: int = Field(gt=0)
    measured: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    oildrop_version: str
    git_revision: str | None = None
    system: str
    how: str
    runs: tuple[ReferenceRun, ...]

    @model_validator(mode="after")
    def _enough_and_in_order(self) -> Self:
        name = f"tier {self.tier}, batch {self.batch}"
        if len(self.runs) < MINIMUM_RUNS:
            raise ValueError(f"{name}: {len(self.runs)} runs are under {MINIMUM_RUNS}, the least for a point; add runs")
        for before, after in pairwise(self.runs):
            if before.order == after.order:
                raise ValueError(f"{name}: {_words(after)} stands twice; keep one of them")
            if before.order > after.order:
                raise ValueError(
                    f"{name}: {_words(after)} stands after {_words(before)}; "
                    "sort by backend, framework, dtype and seed_index"
                )
        if len({run.seed_index for run in self.runs}) < 2:
            raise ValueError(f"{name}: all runs have seed {self.runs[0].seed_index}; use several seeds")
        return self

    @property
    def samples_to_target(self) -> tuple[float, ...]:
        """Of each run, in the file's order."""
        return tuple(run.samples_to_target for run in self.runs)


class Reference(Record):
    """All reference points of one tier: what is normal, by batch size.

    Attributes:
        batch: The tier's own samples a step.
        points: By ascending batch, the tier's own among them.
    """

    benchmark: str
    tier: str
    batch: int = Field(gt=0)
    points: tuple[ReferencePoint, ...]

    @model_validator(mode="after")
    def _own_point_and_order(self) -> Self:
        batches = [point.batch for point in self.points]
        for before, after in pairwise(batches):
            if before >= after:
                word = "stands twice; keep one point" if before == after else f"stands after {before}; sort by batch"
                raise ValueError(f"tier {self.tier}: batch {after} {word}")
        if self.batch not in batches:
            raise ValueError(f"tier {self.tier} has no point at its own batch of {self.batch}; make that point first")
        return self

    @property
    def own(self) -> ReferencePoint:
        """The point at the tier's own batch size."""
        return next(point for point in self.points if point.batch == self.batch)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seed of each run at the tier's own batch size."""
        return tuple(run.seed for run in self.own.runs)

    @property
    def samples_to_target(self) -> tuple[float, ...]:
        """Of each run at the tier's own batch size."""
        return self.own.samples_to_target

    @property
    def coefficient_of_variation(self) -> float:
        """Standard deviation over mean of the samples to target at the tier's own batch size."""
        return statistics.stdev(self.samples_to_target) / statistics.fmean(self.samples_to_target)

    @property
    def framework(self) -> str:
        """Every framework with its version at the tier's own batch size."""
        return ", ".join(sorted({run.framework for run in self.own.runs}))

    @property
    def dtype(self) -> str:
        """Every dtype at the tier's own batch size."""
        return ", ".join(sorted({run.dtype for run in self.own.runs}))

    @property
    def measured(self) -> str:
        """Day on which the tier's own point was made."""
        return self.own.measured

    @property
    def how(self) -> str:
        """How the tier's own point was made, in words."""
        return self.own.how


def _words(run: ReferenceRun) -> str:
    return f"seed {run.seed_index} of {run.backend} {run.dtype} ({run.framework})"
