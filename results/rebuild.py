"""A new index made beside the old one and put in its place in one step."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from oildrop.results.bundle.durable import sync_directory
from oildrop.results.schema import UnusableIndex
from oildrop.results.store import reading, writing

CARRIED_OVER = ("systems", "runs", "judgements", "metrics", "findings")
"""Earlier judgements cannot be derived from runs/ again, so a readable index hands them on."""


@contextmanager
def fresh_index(database: Path) -> Iterator[Path]:
    """A path on which to build the new index; it replaces `database` when the body ends without error.

    An index that could not be read is kept beside the new one as `….unreadable-N`. A run that another
    process recorded meanwhile is found again by the next reader, as its bundle is newer than the index.

    Raises:
        StoreError: Another process holds the old index, or the disk is full.
    """
    new = database.with_name(database.name + ".new")
    for leftover in (new, _log_of(new)):
        leftover.unlink(missing_ok=True)
    readable = _carry_over(database, new)
    yield new
    if readable and database.exists():
        with reading(database):  # keeps writers of other processes out of the old file
            os.replace(new, database)
    else:
        _set_aside(database)
        os.replace(new, database)
    sync_directory(database.parent)


def _carry_over(old: Path, new: Path) -> bool:
    """Copy what must not be lost from the old index; False when it cannot be read."""
    if not old.exists():
        return not _log_of(old).exists()
    try:
        tables = _content(old)
    except UnusableIndex:
        return False
    with writing(new) as connection:
        for name, table in tables.items():
            connection.register("carried", table)
            connection.execute(f"INSERT INTO {name} BY NAME SELECT * FROM carried")
            connection.unregister("carried")
    return True


def _content(old: Path) -> dict[str, Any]:
    with writing(old):
        pass  # brings its schema up to date and completes a write that was cut short
    with reading(old) as connection:
        return {name: connection.sql(f"SELECT * FROM {name}").to_arrow_table() for name in CARRIED_OVER}


def _set_aside(database: Path) -> None:
    number = 1
    while (kept := database.with_name(f"{database.name}.unreadable-{number}")).exists() or _log_of(kept).exists():
        number += 1
    for source, target in ((database, kept), (_log_of(database), _log_of(kept))):
        if source.exists():
            os.rename(source, target)


def _log_of(database: Path) -> Path:
    """DuckDB's write-ahead log of `database`."""
    return database.with_name(database.name + ".wal")
