"""The way from a process that reads prompts to one that decodes: messages over a socket, caches over it or beside it.

`tcp` sends caches through the socket, `shared-memory` writes them into pages that both processes see and sends only
where they lie. Both ends belong to one run and were started by it: nobody else can reach the socket.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.errors import OildropError


class LinkLost(OildropError):
    """The process at the other end has ended."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """One end of the way.

    Attributes:
        area: Pages that both ends see; None where caches go through the socket.
    """

    connection: Connection
    area: mmap.mmap | None

    def say(self, *message: Any) -> None:
        """Send one message. Raises LinkLost."""
        try:
            self.connection.send(message)
        except OSError as error:
            raise LinkLost(_lost()) from error

    def hear(self) -> tuple[Any, ...]:
        """The next message; waits for it. Raises LinkLost."""
        try:
            message: tuple[Any, ...] = self.connection.recv()
        except (EOFError, OSError) as error:
            raise LinkLost(_lost()) from error
        return message

    def send_caches(self, caches: Sequence[NDArray[Any]]) -> None:
        """Send them in order, with the monotonic time at which their sending began."""
        began_ns = time.monotonic_ns()
        self.say(began_ns, [(cache.shape, cache.dtype.str) for cache in caches])
        place = 0
        for cache in caches:
            flat = np.ascontiguousarray(cache).data.cast("B")
            if self.area is None:
                self.connection.send_bytes(flat)
            else:
                self.area[place : place + len(flat)] = flat
                place += len(flat)
        if self.area is not None:
            self.say("written")

    def caches(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """What the other end sends, each with the time at which its sending began; good until more is asked for."""
        began_ns, headers = self.hear()
        if self.area is not None:
            self.hear()
        place = 0
        for shape, dtype in headers:
            if self.area is None:
                yield began_ns, np.frombuffer(self._bytes(), dtype).reshape(shape)
            else:
                count = int(np.prod(shape))
                yield began_ns, np.frombuffer(self.area, dtype, count, place).reshape(shape)
                place += count * np.dtype(dtype).itemsize

    def _bytes(self) -> bytes:
        try:
            return self.connection.recv_bytes()
        except (EOFError, OSError) as error:
            raise LinkLost(_lost()) from error


def _lost() -> str:
    return "the process at the other end of the cache's way has ended; the run's output.log has its last words"
