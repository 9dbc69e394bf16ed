"""The DuckDB index over `runs/`: opened for one batch at a time, waited for, never the truth.

Whatever DuckDB says becomes a StoreError that a person can act upon.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from oildrop.results.schema import UnusableIndex, migrate, newest_version, refuse_newer, schema_version
from oildrop.rules.errors import StoreError

if TYPE_CHECKING:
    import duckdb

LOCK_WAIT_S = 10.0
RETRY_S = 0.05
OFFLINE = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
"""DuckDB fetches nothing from anywhere."""

_one_at_a_time = threading.RLock()
"""DuckDB refuses to open a file for reading and for writing in one process."""


@contextmanager
def reading(database: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The index opened read-only, brought to this version's schema first where it is older.

    Raises:
        StoreError: Held by another process for 10 s, damaged, or of a newer version.
    """
    with _one_at_a_time, _explained(database):
        connection = _connect(database, read_only=True)
        if schema_version(connection) < newest_version():
            connection.close()
            with writing(database):
                pass
            connection = _connect(database, read_only=True)
        try:
            refuse_newer(schema_version(connection))
            yield connection
        finally:
            connection.close()


@contextmanager
def writing(database: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The index opened for one batch, created where there is none; the batch is one transaction.

    Raises:
        StoreError: Held by another process for 10 s, damaged, or of a newer version.
    """
    with _one_at_a_time, _explained(database):
        connection = _connect(database, read_only=False)
        try:
            refuse_newer(schema_version(connection))
            migrate(connection)
            connection.execute("BEGIN")
            yield connection
            connection.execute("COMMIT")
        finally:
            connection.close()


def _connect(database: Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    """Open, trying again while another process holds the file."""
    import duckdb

    give_up = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            return duckdb.connect(str(database), read_only=read_only, config=dict(OFFLINE))
        except duckdb.IOException as error:
            if not _is_held(error) or time.monotonic() >= give_up:
                raise
            time.sleep(RETRY_S)


@contextmanager
def _explained(database: Path) -> Iterator[None]:
    import duckdb

    try:
        yield
    except (duckdb.ParserException, duckdb.BinderException):
        raise  # a mistake of ours, not of the file
    except (duckdb.Error, UnicodeDecodeError) as error:
        raise explained(database, str(error)) from error


def explained(database: Path, message: str) -> StoreError:
    """What DuckDB's `message` means for the person who uses the store, and what to do."""
    first_line = message.strip().splitlines()[0] if message.strip() else "no message"
    if _is_held(message):
        return StoreError(
            f"the index {database} has been held for {LOCK_WAIT_S:g} s by {_holder(message)}: "
            "wait for that process or end it; finished runs are safe in runs/ and enter the index later"
        )
    if "version number" in message:
        return UnusableIndex(
            f"the index {database} was written by another DuckDB ({first_line}): "
            "upgrade DuckDB, or run `oildrop rebuild` to make it again from runs/"
        )
    if "No space left" in message:
        return StoreError(
            f"the disk of {database} is full: free some space and repeat the command; the runs are safe in runs/"
        )
    if "Permission denied" in message or "Read-only file system" in message:
        return StoreError(
            f"the index {database} cannot be opened ({first_line}): make it writable or choose another --store"
        )
    return UnusableIndex(f"the index {database} is damaged ({first_line}): `oildrop rebuild` restores it from runs/")


def _is_held(error: object) -> bool:
    return "Could not set lock on file" in str(error)


def _holder(message: str) -> str:
    """Process and command out of DuckDB's own words, with the whole command line where the system tells it."""
    found = re.search(r"held in (?P<command>.+?) \(PID (?P<pid>\d+)\)", message)
    if found is None:
        return "another process"
    command = found["command"]
    try:
        arguments = Path(f"/proc/{found['pid']}/cmdline").read_bytes().decode(errors="replace").split("\0")
        command = " ".join(arguments).strip() or command
    except OSError:
        pass  # ended meanwhile, or a system without /proc: DuckDB's word stands
    return f"process {found['pid']} ({command})"
