"""Runs as one table: one row a run, one column a headline metric, its reason beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from oildrop.results.rows import RunRow
from oildrop.rules.catalogue import CATALOGUE

if TYPE_CHECKING:
    import pandas

FROM_SPEC = (
    "run_id", "created_utc", "benchmark", "tier", "division", "backend", "kind", "scenario", "rate_per_s", "seed",
    "seed_index", "seeds_chosen", "workload_id", "system_id", "software_id", "set_id", "session_id",
)  # fmt: skip


def wide_table(rows: Sequence[RunRow]) -> pandas.DataFrame:
    """The table of `rows`.

    Columns: what was run, how it ended, its machine, then `<metric>` and `<metric>_reason` for every metric of
    the catalogue in its order. A value is null exactly where its reason says why; the unit is in the metric's
    name or in the catalogue.
    """
    import pandas

    columns = {name: [_identity(row)[name] for row in rows] for name in _identity(rows[0])}
    for name in CATALOGUE:
        metrics = [row.headlines.get(name) for row in rows]
        columns[name] = [None if metric is None else metric.value for metric in metrics]
        columns[f"{name}_reason"] = ["not listed by this kind of run" if m is None else m.reason for m in metrics]
    return pandas.DataFrame(columns).astype(_types(columns))


def _identity(row: RunRow) -> dict[str, Any]:
    system = row.system
    return {name: getattr(row.spec, name) for name in FROM_SPEC} | {
        "outcome": row.outcome,
        "reason": row.judgement.reason,
        "sealed": row.sealed,
        "bundle_id": row.bundle_id,
        "judge_version": row.judgement.judge_version,
        "cpu": None if system is None else system.cpu.model,
        "accelerators": "; ".join(a.model for a in system.accelerators) if system else None,
        "findings": " ".join(finding.rule for finding in row.judgement.findings),
    }


def _types(columns: dict[str, list[Any]]) -> dict[str, str]:
    """Types that hold a null, the same whatever the rows: numbers as float64, whole ones as Int64."""
    types = dict.fromkeys(columns, "string")
    types |= (
        {"rate_per_s": "Float64"}
        | dict.fromkeys(("seeds_chosen", "sealed"), "boolean")
        | dict.fromkeys(("seed", "seed_index"), "Int64")
    )
    return types | dict.fromkeys(CATALOGUE, "Float64")
