"""Reference points out of runs, and the file that keeps them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from oildrop.ci.convergence_runs import Attempts, Provenance
from oildrop.rules.errors import OildropError
from oildrop.rules.identity import rulebook_seed
from oildrop.rules.loading_references import REFERENCE_SCHEMA
from oildrop.rules.reference import ReferencePoint, ReferenceRun

HOW = "made by ci/convergence.py on the rulebook's seeds; samples at the interpolated crossing"


def require_whole(attempts: Sequence[Attempts]) -> None:
    """Refuse the series of one batch size that are no point yet.

    A run that missed the target is slower than any that met it: a point without it would be too fast.

    Raises:
        OildropError: Runs failed, each named; or runs are missing.
    """
    failed = [run for series in attempts for run in series.failed]
    if failed:
        tried = sum(len(series.ok) + len(series.failed) for series in attempts)
        named = "; ".join(f"{run['run_id']} {run['outcome']}: {run['reason']}" for run in failed)
        raise OildropError(f"{len(failed)} of {tried} runs failed, so there is no point: {named}")
    missing = [
        f"{series.series.name}: seeds {', '.join(map(str, series.missing))}" for series in attempts if series.missing
    ]
    if missing:
        raise OildropError(f"runs are missing ({'; '.join(missing)}); repeat the command")


def make_point(tier: str, batch: int, made: Sequence[tuple[ReferenceRun, Provenance]], stopped: int) -> ReferencePoint:
    """The point of all runs at one batch size.

    Args:
        stopped: Runs that were stopped from outside and run again; they are counted in the point's words.

    Raises:
        OildropError: The runs were made by more than one harness.
    """
    harnesses = {(of.oildrop_version, of.git_revision) for _, of in made}
    if len(harnesses) > 1:
        named = ", ".join(sorted(f"{version} ({revision})" for version, revision in harnesses))
        raise OildropError(f"batch {batch}: runs of {len(harnesses)} harnesses: {named}; make them in a fresh store")
    version, revision = harnesses.pop()
    again = f"; {stopped} more were stopped from outside and made again" if stopped else ""
    return ReferencePoint(
        tier=tier,
        batch=batch,
        measured=max(of.day for _, of in made),
        oildrop_version=version,
        git_revision=revision,
        system=" | ".join(sorted({of.system for _, of in made})),
        how=f"{len(made)} runs {HOW}{again}.",
        runs=tuple(sorted((run for run, _ in made), key=lambda run: run.order)),
    )


def merged(old: Iterable[ReferencePoint], new: Iterable[ReferencePoint]) -> list[ReferencePoint]:
    """`old` with each point of `new` in the place of that of its tier and batch size; by tier, then batch."""
    points = {(point.tier, point.batch): point for point in [*old, *new]}
    return [points[key] for key in sorted(points)]


def is_stale(point: ReferencePoint, benchmark_sha256: str) -> bool:
    """Whether the benchmark's file has changed since: its seeds are other ones now."""
    return any(run.seed != rulebook_seed(benchmark_sha256, run.seed_index) for run in point.runs)


def file_text(benchmark: str, points: Iterable[ReferencePoint]) -> str:
    """The file in TOML, a run a line."""
    head = [f"schema = {_text(REFERENCE_SCHEMA)}", f"benchmark = {_text(benchmark)}"]
    return "\n".join([*head, *(line for point in points for line in _point_lines(point))]) + "\n"


def _point_lines(point: ReferencePoint) -> list[str]:
    values = point.model_dump(exclude={"runs"}, exclude_none=True)
    keys = [f"{key} = {_value(value)}" for key, value in values.items()]
    return ["", "[[points]]", *keys, "runs = [", *(f"  {_inline(run)}," for run in point.runs), "]"]


def _inline(run: ReferenceRun) -> str:
    return "{" + ", ".join(f"{key} = {_value(value)}" for key, value in run.model_dump().items()) + "}"


def _value(value: str | float) -> str:
    return _text(value) if isinstance(value, str) else str(value)


def _text(value: str) -> str:
    """A TOML basic string: its escapes are JSON's, but that DEL must be escaped too."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
