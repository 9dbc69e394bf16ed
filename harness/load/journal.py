"""Keeps the requests of a run while it goes on: every few seconds what has changed becomes a closed chunk.

A thread of its own writes; who serves or asks does nothing for it. What was kept before the process is killed, however
that happens, is in the bundle.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from oildrop.harness.load.issuer import SWITCH_S
from oildrop.harness.messages import Emitter
from oildrop.rules import keys

PERIOD_S = 2.0
"""Time from one chunk to the next: of a run that is killed at most so much is missing."""

WriteNext = Callable[[Path], bool]
"""Writes what has changed since the last call as one closed chunk; False where nothing has, and no file is written."""


class Journal(threading.Thread):
    """Writes chunks from number 0 on into `folder`, and announces them; `with` it runs.

    Whatever goes wrong in it is raised by `close`.
    """

    def __init__(
        self, write_next: WriteNext, folder: Path, emitter: Emitter, start_ns: int, *, period_s: float = PERIOD_S
    ) -> None:
        super().__init__(name="journal", daemon=True)
        self._write_next, self._folder, self._emitter = write_next, folder, emitter
        self._start_ns, self._period_s = start_ns, period_s
        self._ended = threading.Event()
        self._announcing = threading.Lock()
        self._held: list[tuple[str, int]] | None = None
        self._failure: Exception | None = None
        self._switch_s = sys.getswitchinterval()
        self.chunks = 0

    def __enter__(self) -> Self:
        sys.setswitchinterval(SWITCH_S)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish()
        sys.setswitchinterval(self._switch_s)

    def run(self) -> None:
        """Write until the end."""
        while not self._ended.wait(self._period_s):
            try:
                self._keep()
            except Exception as failure:
                self._failure = failure
                return

    def hold(self) -> None:
        """Announce nothing until `close`: what is logged from now on has a stamp of its own."""
        with self._announcing:
            self._held = self._held or []

    def close(self) -> None:
        """Write the rest, and announce what was held. Raises what the thread raised, OSError, OildropError."""
        self._finish()
        if self._failure is not None:
            raise self._failure
        held, self._held = self._held or [], None
        for name, kept_ns in held:
            self._announce(name, kept_ns)
        self._keep()

    def _finish(self) -> None:
        self._ended.set()
        if self.is_alive():
            self.join()

    def _keep(self) -> None:
        kept_ns = time.monotonic_ns() - self._start_ns
        name = f"{self.chunks:04d}.arrow"
        if self._write_next(self._folder / name):
            self.chunks += 1
            self._announce(name, kept_ns)

    def _announce(self, name: str, kept_ns: int) -> None:
        with self._announcing:
            if self._held is not None:
                self._held.append((name, kept_ns))
                return
            self._emitter.emit(keys.CHUNK, name, {"kept_ns": kept_ns})
        if self.is_alive():
            self._emitter.flush()
