"""One worker's messages as they arrive through its pipe, line by line."""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable

from oildrop.harness.messages import Message, decode

READ_BYTES = 1 << 16


class Inbox:
    """Reads whole lines; `closed` once the worker's end is gone.

    The worker's end is `inherited` by it; `address` is what the worker calls it.
    """

    def __init__(self) -> None:
        self._descriptor, writing = os.pipe()
        self.inherited: tuple[int, ...] = (writing,)
        self.address = str(writing)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._descriptor, selectors.EVENT_READ)
        self._rest = b""
        self.closed = False

    def started(self, exit_status: Callable[[], int | None]) -> None:
        """The worker has inherited its end: with the one here gone, its death closes the pipe."""
        self._let_go()

    def close(self) -> None:
        """Let the pipe go."""
        self._let_go()
        self._selector.close()
        os.close(self._descriptor)

    def _let_go(self) -> None:
        for descriptor in self.inherited:
            os.close(descriptor)
        self.inherited = ()

    def wait(self, seconds: float) -> list[tuple[int, Message]]:
        """Messages that arrive within `seconds`, each from rank 0; [] when none does.

        Raises:
            ValueError: A line that is no message.
        """
        if self.closed or not self._selector.select(seconds):
            return []
        data = os.read(self._descriptor, READ_BYTES)
        if not data:
            self.closed = True
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [(0, decode(line)) for line in lines]
