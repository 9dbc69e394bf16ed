"""The index file: held by others, damaged, of another version."""

from __future__ import annotations

import gzip
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest

from oildrop.results import store as store_file
from oildrop.results.ingest import ingest_runs, rebuild
from oildrop.results.layout import StoreLayout
from oildrop.results.schema import UnusableIndex, migrate, migrations, newest_version, schema_version
from oildrop.results.store import explained, reading, writing
from oildrop.results.views import list_runs
from oildrop.rules.errors import StoreError

DATA = Path(__file__).parent / "data"


@pytest.fixture
def database(store: StoreLayout) -> Path:
    with writing(store.database):
        pass
    return store.database


@pytest.mark.parametrize("wanted", [reading, writing])
def test_a_held_index_names_its_holder(database: Path, monkeypatch: pytest.MonkeyPatch, wanted: Any, held: Any) -> None:
    monkeypatch.setattr(store_file, "LOCK_WAIT_S", 0.1)
    with held(database, "write") as holder, pytest.raises(StoreError) as caught, wanted(database):
        pass
    message = str(caught.value)
    assert str(database) in message and f"process {holder.pid}" in message and sys.executable in message
    assert "end it" in message and not isinstance(caught.value, UnusableIndex)


def test_readers_do_not_wait_for_readers(database: Path, held: Any) -> None:
    with held(database, "read"), reading(database) as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchall() == [(0,)]


def test_a_reader_waits_until_the_writer_has_ended(database: Path, held: Any) -> None:
    with held(database, "write") as holder:
        assert holder.stdin is not None
        holder.stdin.close()
        begin = time.monotonic()
        with reading(database) as connection:
            assert schema_version(connection) == newest_version()
        assert time.monotonic() - begin < store_file.LOCK_WAIT_S


def test_an_error_inside_a_batch_leaves_nothing_of_it(database: Path) -> None:
    with pytest.raises(RuntimeError), writing(database) as connection:
        connection.execute("INSERT INTO unreadable VALUES ('a', 'b')")
        raise RuntimeError
    with reading(database) as connection:
        assert connection.execute("SELECT * FROM unreadable").fetchall() == []


KILLED = """
import os, signal, sys, duckdb
connection = duckdb.connect(sys.argv[1])
connection.execute("INSERT INTO unreadable VALUES ('kept', 'x')")
connection.execute("BEGIN")
connection.execute("INSERT INTO unreadable VALUES ('not kept', 'x')")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_writer_had_committed_is_there(database: Path) -> None:
    subprocess.run([sys.executable, "-P", "-c", KILLED, str(database)], check=False)
    assert database.with_name(database.name + ".wal").exists()
    for wanted in (reading, writing, reading):
        with wanted(database) as connection:
            assert connection.execute("SELECT folder FROM unreadable").fetchall() == [("kept",)]


@pytest.fixture
def filled(store: StoreLayout, make_bundle: Any) -> StoreLayout:
    ingest_runs(store, [make_bundle(outcome="diverged", seed_index=index) for index in range(3)])
    return store


def test_an_index_cut_anywhere_says_how_to_restore_it(filled: StoreLayout) -> None:
    whole = filled.database.read_bytes()
    for length in [0, 1, 4095, 4096, 12288, len(whole) // 3, len(whole) // 2]:
        filled.database.write_bytes(whole[:length])
        with pytest.raises(UnusableIndex, match=r"is damaged .*`oildrop rebuild` restores it from runs/"):
            list_runs(filled)
    filled.database.write_bytes(whole[: len(whole) // 2])
    assert rebuild(filled) == 3
    assert len(list_runs(filled)) == 3
    assert filled.database.with_name("oildrop.duckdb.unreadable-1").exists()


def test_changed_bytes_are_noticed_or_harmless(filled: StoreLayout) -> None:
    whole, rng = filled.database.read_bytes(), random.Random(1)
    expected = [row.judgement for row in list_runs(filled)]
    noticed = 0
    for _ in range(40):
        data = bytearray(whole)
        for _ in range(3):
            data[rng.randrange(len(data))] ^= rng.randrange(1, 256)
        filled.database.write_bytes(data)
        try:
            assert [row.judgement for row in list_runs(filled)] == expected
        except StoreError:
            noticed += 1
    assert noticed > 0


def test_a_file_that_is_no_index(store: StoreLayout) -> None:
    store.database.write_text("hello\n" * 1000)
    with pytest.raises(UnusableIndex, match="rebuild"):
        list_runs(store)


def test_a_newer_index_is_refused(database: Path) -> None:
    with writing(database) as connection:
        connection.execute("INSERT INTO schema_version VALUES (99)")
    for wanted in (reading, writing):
        with pytest.raises(StoreError, match=r"schema version 99, .* up to 1: upgrade Oildrop"), wanted(database):
            pass


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("IO Error: Trying to read a database file with version number 99, but we can only read 64", "upgrade DuckDB"),
        ("IO Error: Could not write file: No space left on device", "free some space"),
        ('IO Error: Cannot open file "x": Permission denied', "make it writable"),
        ("IO Error: Could not set lock on file: Conflicting lock is held", "by another process"),
        ("", "damaged"),
    ],
)
def test_what_duckdb_says_becomes_something_to_do(message: str, says: str) -> None:
    assert says in str(explained(Path("x.duckdb"), message))


def test_migrations_are_numbered_without_a_gap() -> None:
    assert list(migrations()) == list(range(1, newest_version() + 1))


def test_migrations_are_applied_in_order_and_once(tmp_path: Path) -> None:
    steps = {1: "CREATE TABLE a (x INTEGER)", 2: "ALTER TABLE a ADD COLUMN y INTEGER; INSERT INTO a VALUES (1, 2)"}
    connection = duckdb.connect(str(tmp_path / "x.duckdb"))
    migrate(connection, {1: steps[1]})
    assert schema_version(connection) == 1
    for _ in range(2):
        migrate(connection, steps)
    assert schema_version(connection) == 2
    assert connection.execute("SELECT * FROM a").fetchall() == [(1, 2)]
    connection.close()


def test_a_failed_migration_leaves_the_version_before(tmp_path: Path) -> None:
    path = str(tmp_path / "x.duckdb")
    connection = duckdb.connect(path)
    with pytest.raises(duckdb.Error):
        migrate(connection, {1: "CREATE TABLE a (x INTEGER)", 2: "CREATE TABLE b (x INTEGER); SELECT nothing"})
    connection.close()
    connection = duckdb.connect(path)
    assert schema_version(connection) == 1
    with pytest.raises(duckdb.CatalogException):
        connection.execute("SELECT * FROM b")
    connection.close()


@pytest.mark.parametrize("version", [1])
def test_an_index_of_every_earlier_version_opens(store: StoreLayout, version: int) -> None:
    with gzip.open(DATA / f"index_v{version}.duckdb.gz") as packed, open(store.database, "wb") as file:
        shutil.copyfileobj(packed, file)
    rows = list_runs(store)
    assert [(row.run_id, row.outcome) for row in rows] == [
        ("golden-2-crash", "crash"),
        ("golden-1-diverged", "diverged"),
        ("golden-0-ok", "ok"),
    ]
    assert rows[2].headlines["time_to_target_s"].value is not None
    assert rows[2].digest.curve
