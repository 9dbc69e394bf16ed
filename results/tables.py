"""Judged runs as rows of the index's tables: a batch goes in through Arrow, never row by row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from oildrop.results.rows import PackedRun, RunRow

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SPEC_COLUMNS = (
    "run_id", "created_utc", "benchmark", "tier", "division", "backend", "kind", "seed", "seed_index", "seeds_chosen",
    "workload_id", "system_id", "software_id", "set_id", "session_id",
)  # fmt: skip

METRIC_COLUMNS = ("name", "unit", "status", "reason", "formula", "scope")


class JudgedRun(NamedTuple):
    """One run to be written: as packed, and as the row that it becomes."""

    packed: PackedRun
    row: RunRow


def write_batch(connection: DuckDBPyConnection, batch: Sequence[JudgedRun], judged_utc: str) -> None:
    """Insert or renew `batch`; a judgement is added only where it says something new. Run ids are unique in it."""
    newest = _newest_judgements(connection, [judged.row.run_id for judged in batch])
    next_id = _next_judgement_id(connection)
    numbers: list[int] = []
    added: list[tuple[int, JudgedRun]] = []
    for judged in batch:
        known_id, known_json = newest.get(judged.row.run_id, (None, None))
        if known_id is None or known_json != judged.packed.judgement_json:
            known_id = next_id + len(added)
            added.append((known_id, judged))
        numbers.append(known_id)
    _insert(connection, "systems", _system_rows(batch), or_ignore=True)
    _insert(connection, "judgements", [_judgement_row(number, judged, judged_utc) for number, judged in added])
    _insert(connection, "metrics", [row for number, judged in added for row in _metric_rows(number, judged.row)])
    _insert(connection, "findings", [row for number, judged in added for row in _finding_rows(number, judged.row)])
    connection.execute("DELETE FROM unreadable WHERE folder IN (SELECT unnest(?))", [[j.row.run_id for j in batch]])
    rows = [_run_row(number, judged) for number, judged in zip(numbers, batch, strict=True)]
    _insert(connection, "runs", rows, or_replace=True)


def write_unreadable(connection: DuckDBPyConnection, messages: dict[str, str]) -> None:
    """Remember the folders of which nobody can say which run they were."""
    rows = [{"folder": folder, "message": message} for folder, message in messages.items()]
    _insert(connection, "unreadable", rows, or_replace=True)


def drop_runs_except(connection: DuckDBPyConnection, run_ids: list[str]) -> None:
    """Leave out the runs whose folders are gone; what was judged of them stays."""
    connection.execute("DELETE FROM runs WHERE run_id NOT IN (SELECT unnest(?::VARCHAR[]))", [run_ids])


def _newest_judgements(connection: DuckDBPyConnection, run_ids: list[str]) -> dict[str, tuple[int, str]]:
    found = connection.execute(
        "SELECT r.run_id, judgement_id, judgement_json FROM runs r JOIN judgements USING (judgement_id) "
        "WHERE r.run_id IN (SELECT unnest(?))",
        [run_ids],
    ).fetchall()
    return {run_id: (number, text) for run_id, number, text in found}


def _next_judgement_id(connection: DuckDBPyConnection) -> int:
    [(number,)] = connection.execute("SELECT coalesce(max(judgement_id), 0) + 1 FROM judgements").fetchall()
    return int(number)


def _insert(
    connection: DuckDBPyConnection,
    table: str,
    rows: Sequence[dict[str, Any]],
    *,
    or_replace: bool = False,
    or_ignore: bool = False,
) -> None:
    import pyarrow as pa

    if not rows:
        return
    described = connection.execute("SELECT * FROM (DESCRIBE " + table + ")").fetchall()
    schema = pa.schema([(name, _ARROW_TYPES[kind](pa)) for name, kind, *_ in described if name in rows[0]])
    connection.register("incoming", pa.Table.from_pylist(list(rows), schema=schema))
    how = "OR REPLACE " if or_replace else "OR IGNORE " if or_ignore else ""
    connection.execute(f"INSERT {how}INTO {table} BY NAME SELECT * FROM incoming")
    connection.unregister("incoming")


_ARROW_TYPES: dict[str, Any] = {
    "VARCHAR": lambda pa: pa.utf8(),
    "BIGINT": lambda pa: pa.int64(),
    "DOUBLE": lambda pa: pa.float64(),
    "BOOLEAN": lambda pa: pa.bool_(),
}


def _system_rows(batch: Sequence[JudgedRun]) -> list[dict[str, Any]]:
    texts = {judged.packed.system_json for judged in batch if judged.packed.system_json is not None}
    return [{"system_sha256": _sha256(text), "system_json": text} for text in sorted(texts)]


def _run_row(number: int, judged: JudgedRun) -> dict[str, Any]:
    packed, row = judged
    return {name: getattr(row.spec, name) for name in SPEC_COLUMNS} | {
        "seed_index": _bigint(row.spec.seed_index),
        "sealed": packed.sealed,
        "bundle_id": packed.bundle_id,
        "elapsed_s": packed.elapsed_s,
        "judgement_id": number,
        "system_sha256": None if packed.system_json is None else _sha256(packed.system_json),
        "spec_json": packed.spec_json,
        "digest_json": packed.digest_json,
    }


def _judgement_row(number: int, judged: JudgedRun, judged_utc: str) -> dict[str, Any]:
    judgement = judged.row.judgement
    return {
        "judgement_id": number,
        "run_id": judged.row.run_id,
        "judge_version": judgement.judge_version,
        "tables_sha256": judgement.tables_sha256,
        "judged_utc": judged_utc,
        "outcome": judgement.outcome,
        "reason": judgement.reason,
        "judgement_json": judged.packed.judgement_json,
    }


def _metric_rows(number: int, row: RunRow) -> Iterable[dict[str, Any]]:
    for metric in row.judgement.metrics:
        start_ns, stop_ns = metric.window_ns or (None, None)
        yield {name: getattr(metric, name) for name in METRIC_COLUMNS} | {
            "judgement_id": number,
            "run_id": row.run_id,
            "value": _double(metric.value),
            "uncertainty": _double(metric.uncertainty),
            "dims_json": json.dumps(metric.dims, sort_keys=True) if metric.dims else "{}",
            "sample_count": _bigint(metric.sample_count),
            "window_start_ns": _bigint(start_ns),
            "window_stop_ns": _bigint(stop_ns),
        }


def _finding_rows(number: int, row: RunRow) -> Iterable[dict[str, Any]]:
    for finding in row.judgement.findings:
        yield {
            "judgement_id": number,
            "run_id": row.run_id,
            "rule": finding.rule,
            "severity": finding.severity,
            "message": finding.message,
            "evidence_json": json.dumps(finding.model_dump(mode="json")["evidence"], sort_keys=True),
            "fix": finding.fix,
        }


def _double(value: float | None) -> float | None:
    """`value` as the column holds it; Arrow refuses an integer beyond 2^53."""
    return None if value is None else float(value)


def _bigint(value: int | None) -> int | None:
    """`value` where a column of 64 bits holds it; what a broken log says beyond that stays in the record's JSON."""
    return value if value is not None and abs(value) < 2**63 else None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
