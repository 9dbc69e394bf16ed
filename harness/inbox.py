"""A worker's messages as they arrive through its pipe, line by line."""

from __future__ import annotations

import os
import selectors

from oildrop.harness.messages import Message, decode

READ_BYTES = 1 << 16


class Inbox:
    """Reads whole lines; `closed` once the worker's end is gone."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._selector = selectors.DefaultSelector()
        self._selector.register(descriptor, selectors.EVENT_READ)
        self._rest = b""
        self.closed = False

    def wait(self, seconds: float) -> list[Message]:
        """Messages that arrive within `seconds`; [] when none does. Raises ValueError for a line that is none."""
        if self.closed or not self._selector.select(seconds):
            return []
        data = os.read(self._descriptor, READ_BYTES)
        if not data:
            self.closed = True
            self._selector.close()
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [decode(line) for line in lines]
