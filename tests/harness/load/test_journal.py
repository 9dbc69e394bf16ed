"""Chunks of requests while a run goes on: closed, announced in order, and nothing announced while that is held."""

from __future__ import annotations

import errno
import time
from pathlib import Path
from typing import Any

import pytest

from oildrop.harness.load.journal import Journal
from oildrop.rules import keys

SOON_S = 0.01


class Told:
    """An emitter that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any, dict[str, Any]]] = []

    def emit(self, key: str, value: Any = None, meta: dict[str, Any] | None = None) -> None:
        self.events.append((key, value, meta or {}))

    def flush(self) -> None:
        """Nothing is buffered."""


class Changes:
    """Something new each time while `left`."""

    def __init__(self, left: int, *, full_at: int | None = None) -> None:
        self.left, self.full_at, self.asked = left, full_at, 0

    def write(self, path: Path) -> bool:
        self.asked += 1
        if self.asked == self.full_at:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.left -= 1
        if self.left >= 0:
            path.write_text("chunk")
        return self.left >= 0


def journal(changes: Changes, folder: Path, told: Told, *, period_s: float = SOON_S) -> Journal:
    return Journal(changes.write, folder, told, time.monotonic_ns(), period_s=period_s)  # type: ignore[arg-type]


def wait_until(true: Any) -> None:
    deadline = time.monotonic() + 20
    while not true() and time.monotonic() < deadline:
        time.sleep(SOON_S)


def test_chunks_are_announced_as_they_are_closed_and_none_is_empty(tmp_path: Path) -> None:
    told, changes = Told(), Changes(3)
    with journal(changes, tmp_path, told) as kept:
        wait_until(lambda: changes.asked > 5)
    assert [(key, value) for key, value, _ in told.events] == [(keys.CHUNK, f"000{n}.arrow") for n in range(3)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0000.arrow", "0001.arrow", "0002.arrow"]
    stamps = [meta["kept_ns"] for _, _, meta in told.events]
    assert stamps == sorted(stamps) and stamps[0] >= SOON_S * 1e9
    kept.close()
    assert kept.chunks == 3


def test_what_is_held_is_announced_at_the_close_before_the_rest(tmp_path: Path) -> None:
    told, changes = Told(), Changes(3)
    with journal(changes, tmp_path, told) as kept:
        kept.hold()
        wait_until(lambda: changes.asked >= 2)
    assert told.events == []
    kept.close()
    assert [value for _, value, _ in told.events] == [f"000{n}.arrow" for n in range(3)]


def test_the_rest_is_written_at_the_close_however_soon_it_comes(tmp_path: Path) -> None:
    told, changes = Told(), Changes(1)
    with journal(changes, tmp_path, told, period_s=60.0) as kept:
        pass
    assert told.events == []
    kept.close()
    assert [value for _, value, _ in told.events] == ["0000.arrow"]


def test_what_went_wrong_in_the_thread_is_raised_at_the_close(tmp_path: Path) -> None:
    told, changes = Told(), Changes(9, full_at=2)
    with journal(changes, tmp_path, told) as kept:
        wait_until(lambda: changes.asked >= 2)
    with pytest.raises(OSError, match="No space left"):
        kept.close()
    assert [value for _, value, _ in told.events] == ["0000.arrow"]
