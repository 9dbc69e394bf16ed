"""The index's schema: numbered migrations, applied in order, each once."""

from __future__ import annotations

import functools
import re
from importlib import resources
from typing import TYPE_CHECKING

from oildrop.rules.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from duckdb import DuckDBPyConnection


class UnusableIndex(StoreError):
    """The index cannot be used as it is; only `oildrop rebuild` helps."""


@functools.cache
def migrations() -> dict[int, str]:
    """SQL of every migration by its number, from `migrations/NNNN_title.sql`."""
    folder = resources.files("oildrop.results.migrations")
    found = {}
    for entry in folder.iterdir():
        numbered = re.fullmatch(r"(\d{4})_\w+\.sql", entry.name)
        if numbered:
            found[int(numbered.group(1))] = entry.read_text()
    return dict(sorted(found.items()))


def newest_version() -> int:
    """The schema version that this code writes."""
    return max(migrations())


def schema_version(connection: DuckDBPyConnection) -> int:
    """Version of the open index; 0 when it is empty."""
    tables = connection.execute(
        "SELECT 1 FROM information_schema.tables WHERE table_name = 'schema_version'"
    ).fetchall()
    if not tables:
        return 0
    [(version,)] = connection.execute("SELECT coalesce(max(version), 0) FROM schema_version").fetchall()
    return int(version)


def refuse_newer(version: int) -> None:
    """Raise UnusableIndex for an index that a newer Oildrop wrote."""
    if version > newest_version():
        raise UnusableIndex(
            f"the index has schema version {version}, this Oildrop knows versions up to {newest_version()}: "
            "upgrade Oildrop, or run `oildrop rebuild` to make an index for this version from runs/"
        )


def migrate(connection: DuckDBPyConnection, known: Mapping[int, str] | None = None) -> None:
    """Bring the open index to the newest version, one transaction a migration."""
    present = schema_version(connection)
    for version, statements in (known or migrations()).items():
        if version > present:
            connection.execute("BEGIN")
            connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
            connection.execute(statements)
            connection.execute("INSERT INTO schema_version VALUES (?)", [version])
            connection.execute("COMMIT")
