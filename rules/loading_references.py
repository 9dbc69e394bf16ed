"""Read a file of reference points into records; what it lacks is refused with line and reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from oildrop.rules.errors import RulebookError
from oildrop.rules.reference import Reference, ReferencePoint, batch_in
from oildrop.rules.rulebook import Benchmark

REFERENCE_SCHEMA = "oildrop.reference/2"
FILE_KEYS = {"schema", "benchmark", "points"}


def references_in(
    name: str, table: Mapping[str, Any], raw: bytes, benchmarks: Mapping[str, Benchmark]
) -> list[Reference]:
    """The reference points of one file, by tier.

    Raises:
        RulebookError: An unknown benchmark, tier or key, a point with too few, unsorted or doubled runs, or a tier
            without a point at its own batch size; names file, line and reason.
    """
    benchmark = benchmarks.get(table.get("benchmark", ""))
    if benchmark is None:
        raise RulebookError(f"{name}: line 2: benchmark {table.get('benchmark')!r} is not in the rulebook")
    unknown = sorted(set(table) - FILE_KEYS)
    if unknown:
        raise RulebookError(f"{name}: line 1: {unknown[0]} is unknown; a file has {', '.join(sorted(FILE_KEYS))}")
    points = [_point(name, raw, index, values) for index, values in enumerate(table.get("points", []))]
    return [
        _reference(name, raw, benchmark, tier, [point for point in points if point.tier == tier])
        for tier in dict.fromkeys(point.tier for point in points)
    ]


def _point(name: str, raw: bytes, index: int, values: Mapping[str, Any]) -> ReferencePoint:
    try:
        return ReferencePoint.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        path = first["loc"]
        run = int(path[1]) if len(path) > 1 and path[0] == "runs" else None
        where = ".".join(["points", str(index), *map(str, path)])
        raise RulebookError(f"{name}: line {_line_of(raw, index, run)}: {where}: {first['msg']}") from error


def _reference(name: str, raw: bytes, benchmark: Benchmark, tier: str, points: list[ReferencePoint]) -> Reference:
    if tier not in benchmark.tiers:
        known = ", ".join(benchmark.tiers)
        raise RulebookError(f"{name}: line {_line_of_tier(raw, tier)}: tier {tier} is not one of {known}")
    batch = batch_in(benchmark.tiers[tier].settings)
    if batch is None:
        reason = f"tier {tier} sets no data.<what>_per_batch, so its own batch size is not known"
        raise RulebookError(f"{name}: line {_line_of_tier(raw, tier)}: {reason}")
    try:
        return Reference(benchmark=benchmark.name, tier=tier, batch=batch, points=tuple(points))
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise RulebookError(f"{name}: line {_line_of_tier(raw, tier)}: {reason}") from error


def _line_of(raw: bytes, point: int, run: int | None) -> int:
    """Line on which point number `point` begins, or on which its run number `run` has its seed_index."""
    lines = raw.decode().splitlines()
    begins = [number for number, line in enumerate(lines, start=1) if re.match(r"\s*\[\[\s*points\s*\]\]", line)]
    begin = begins[point] if point < len(begins) else 1
    if run is None:
        return begin
    seeds = [number for number, line in enumerate(lines, start=1) if number > begin and "seed_index" in line]
    return seeds[run] if run < len(seeds) else begin


def _line_of_tier(raw: bytes, tier: str) -> int:
    wanted = re.compile(rf"\s*tier\s*=\s*[\"']{re.escape(tier)}[\"']")
    lines = raw.decode().splitlines()
    return next((number for number, line in enumerate(lines, start=1) if wanted.match(line)), 1)
