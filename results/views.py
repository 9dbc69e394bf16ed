"""Read the index: every run once, under its newest judgement."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oildrop.results.collector import collector_paused
from oildrop.results.layout import StoreLayout
from oildrop.results.rows import PackedRun, RunRow, StoredRow
from oildrop.results.store import reading
from oildrop.rules.errors import StoreError, UsageError
from oildrop.rules.evidence import Problem

LAST = "last"

_SELECT = """
SELECT spec_json, system_json, judgement_json, '' AS digest_json, sealed, bundle_id, elapsed_s
FROM runs r JOIN judgements j USING (judgement_id) LEFT JOIN systems USING (system_sha256)
"""
_NEWEST_FIRST = " ORDER BY r.created_utc DESC, r.run_id DESC"


def list_runs(
    layout: StoreLayout, *, benchmark: str | None = None, outcome: str | None = None, limit: int | None = None
) -> list[RunRow]:
    """Runs of the store, newest first; those of one benchmark or outcome, and at most `limit`.

    Raises:
        StoreError: The index cannot be read.
    """
    wanted = {"r.benchmark": benchmark, "j.outcome": outcome}
    filters = {column: value for column, value in wanted.items() if value is not None}
    where = " WHERE " + " AND ".join(f"{column} = ?" for column in filters) if filters else ""
    most = "" if limit is None else f" LIMIT {limit:d}"
    return _rows(layout, where + _NEWEST_FIRST + most, list(filters.values()))


def find_run(layout: StoreLayout, name: str) -> RunRow:
    """The run that `name` means: a run id, the beginning of exactly one, or `last` for the newest.

    Raises:
        UsageError: No run or several are meant; names the nearest.
        StoreError: The index cannot be read.
    """
    if name == LAST:
        newest = list_runs(layout, limit=1)
        if not newest:
            raise UsageError(f"there is no run in {layout.root} yet; `oildrop run` makes one")
        return newest[0]
    run_id = _meant(name, _run_ids(layout), layout)
    return _rows(layout, " WHERE r.run_id = ?", [run_id])[0]


def unreadable_bundles(layout: StoreLayout) -> list[Problem]:
    """Folders under `runs/` of which nobody can say which run they were, as found last."""
    if not layout.database.exists():
        return []
    with reading(layout.database) as connection:
        found = connection.execute("SELECT folder, message FROM unreadable ORDER BY folder").fetchall()
    return [Problem(file=folder, message=message) for folder, message in found]


def _rows(layout: StoreLayout, rest: str, values: list[Any]) -> list[RunRow]:
    if not layout.database.exists():
        return []
    with reading(layout.database) as connection:
        found = connection.execute(_SELECT + rest, values).fetchall()
    digests = _Digests(layout.database)
    with collector_paused():
        rows: list[RunRow] = [StoredRow(PackedRun(*columns), digests) for columns in found]
    digests.run_ids.extend(row.run_id for row in rows)
    return rows


def _run_ids(layout: StoreLayout) -> list[str]:
    if not layout.database.exists():
        return []
    with reading(layout.database) as connection:
        return [run_id for (run_id,) in connection.execute("SELECT run_id FROM runs ORDER BY run_id").fetchall()]


def _meant(name: str, run_ids: list[str], layout: StoreLayout) -> str:
    matching = [run_id for run_id in run_ids if run_id.startswith(name)] if name else []
    if name in matching or len(matching) == 1:
        return name if name in matching else matching[0]
    if matching:
        raise UsageError(f"{len(matching)} runs begin with {name!r}: {_some(matching)}; type more of the id")
    nearest = difflib.get_close_matches(name, run_ids, n=3, cutoff=0.5)
    hint = f"the nearest are {_some(nearest)}" if nearest else "`oildrop runs` lists them"
    raise UsageError(f"no run in {layout.root} begins with {name!r}; {hint}")


def _some(run_ids: list[str]) -> str:
    return ", ".join(run_ids[:3]) + (", …" if len(run_ids) > 3 else "")


@dataclass
class _Digests:
    """The digests of one listing, fetched together when the first of them is asked for.

    They stay in Arrow's buffers: as Python text, those of 10,000 runs would take seconds to build.
    """

    database: Path
    run_ids: list[str] = field(default_factory=list)
    texts: Any = None
    places: dict[str, int] = field(default_factory=dict)

    def __call__(self, run_id: str) -> str:
        """The digest's text of one run of the listing."""
        if self.texts is None:
            self._fetch()
        if run_id not in self.places:
            raise StoreError(f"run {run_id} left the index {self.database} meanwhile; repeat the command")
        text: str = self.texts[self.places[run_id]].as_py()
        return text

    def _fetch(self) -> None:
        query = "SELECT run_id, digest_json FROM runs WHERE run_id IN (SELECT unnest(?))"
        with reading(self.database) as connection:
            table = connection.sql(query, params=[self.run_ids]).to_arrow_table()
        self.texts = table.column("digest_json")
        self.places = {run_id: place for place, run_id in enumerate(table.column("run_id").to_pylist())}
