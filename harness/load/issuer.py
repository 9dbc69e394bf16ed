"""The thread that releases queries at their scheduled time, and stamps when it did."""

from __future__ import annotations

import sys
import threading
import time
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from oildrop.harness.load.promptness import wake_on_time

NEAR_NS = 2_000_000
"""Under this a wait cannot be called off."""

SWITCH_S = 2e-4
"""Longest that the model's Python code keeps the interpreter from the issuer; the default is 5 ms."""


class Issuer(threading.Thread):
    """Releases query after query; `with` it runs.

    Args:
        schedule_ns: When each query is due, nanoseconds after `start_ns`.
        start_ns: The run's start on `clock`.

    Attributes:
        released: Queries that were released.
        issued_ns: When each of them was, nanoseconds after `start_ns`.
    """

    def __init__(self, schedule_ns: Sequence[int], start_ns: int, clock: Callable[[], int] = time.monotonic_ns) -> None:
        super().__init__(name="issuer", daemon=True)
        self.released = 0
        self.issued_ns = array("q", bytes(8 * len(schedule_ns)))
        self._schedule_ns = schedule_ns
        self._start_ns = start_ns
        self._clock = clock
        self._bell: SimpleQueue[None] = SimpleQueue()  # quicker than an Event, which is Python
        self._ended = threading.Event()
        self._switch_s = sys.getswitchinterval()

    def __enter__(self) -> Self:
        sys.setswitchinterval(SWITCH_S)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self.join()
        sys.setswitchinterval(self._switch_s)

    def wait(self, seen: int, seconds: float) -> None:
        """Return once more than `seen` queries were released, or after `seconds`."""
        bell = self._bell
        while not bell.empty():
            bell.get_nowait()
        if self.released == seen:
            with suppress(Empty):
                bell.get(timeout=seconds)

    def run(self) -> None:
        """Release all, or until the end."""
        wake_on_time()
        clock, start_ns, issued_ns, ring = self._clock, self._start_ns, self.issued_ns, self._bell.put
        ended = self._ended.is_set
        for query, due_ns in enumerate(self._schedule_ns):
            self._await(start_ns + due_ns)
            if ended():
                return
            issued_ns[query] = clock() - start_ns
            self.released = query + 1
            ring(None)

    def _await(self, until_ns: int) -> None:
        """Return at `until_ns`, or when all is over."""
        clock = self._clock
        while (left_ns := until_ns - clock()) > 0:
            if left_ns > NEAR_NS:
                if self._ended.wait((left_ns - NEAR_NS // 2) / 1e9):
                    return
            else:
                time.sleep(left_ns / 1e9)
