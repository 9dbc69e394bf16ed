"""Requests that are made before they are due: while one is made no answer can be stamped."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from oildrop.harness.endpoint.prompts import Prompt

LEAST = 64
MOST = 2048
BREATH_S = 1e-3
"""Time between two requests that are made: answers that have come meanwhile are taken in."""

Make = Callable[[int], tuple[Prompt, bytes]]
"""Request number `index` of the seed's stream: what it asks, and its bytes."""


class Reserve:
    """The next requests of a stream, in order; `wanted` of them, within `LEAST` and `MOST`, lie ready.

    Streams that answer in step end together: eight requests made then, one after another, hold up the first tokens of
    those that were sent before by a millisecond.

    Attributes:
        taken: Requests that were taken; the number of the next one.
    """

    def __init__(self, make: Make, wanted: int) -> None:
        self._make = make
        self._size = min(max(wanted, LEAST), MOST)
        self._ready: deque[tuple[Prompt, bytes]] = deque()
        self.taken = 0

    def fill(self) -> None:
        """Make all that are missing, now."""
        while len(self._ready) < self._size:
            self._make_one()

    def take(self) -> tuple[int, Prompt, bytes]:
        """The next request and its number; made now if none is left."""
        if not self._ready:
            self._make_one()
        index, (prompt, request) = self.taken, self._ready.popleft()
        self.taken += 1
        return index, prompt, request

    async def keep_full(self) -> None:
        """Make what is missing, one at a time, until cancelled."""
        while True:
            await asyncio.sleep(BREATH_S)
            if len(self._ready) < self._size:
                self._make_one()

    def _make_one(self) -> None:
        self._ready.append(self._make(self.taken + len(self._ready)))
