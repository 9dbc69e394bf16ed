"""How requests meet the server: one after another, so many at a time, or when they are due.

A closed loop's request is due when the answer before it has ended. In `offline` all are due at the start, and a fixed
number of them is in flight. In `server` and `interactive` the times were fixed before, and a request waits for nobody:
what cannot be sent because all connections are busy is an `overflow`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from oildrop.harness.endpoint import outcomes
from oildrop.harness.endpoint.answer import Answer
from oildrop.harness.endpoint.client import Client
from oildrop.harness.endpoint.reserve import Reserve
from oildrop.harness.endpoint.table import Ledger
from oildrop.harness.load.stops import DEADLINE, MINIMUM

BREATH_S = 0.1
"""How long a closed loop waits after a request that got no token: a dead server is asked, not hammered."""

PATIENCE = 4
"""A closed loop asks no more after so many times its least duration, whatever is missing to its least queries."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is to be done to the server.

    Attributes:
        in_flight: Of a closed loop: requests at a time.
        arrivals_ns: When requests are due, since the start; None for a closed loop.
        due_at_once: All requests are due at the start (`offline`).
        most_in_flight: Beyond them a request that is due is not sent.
    """

    minimum_s: float
    minimum_queries: int
    in_flight: int
    most_in_flight: int
    arrivals_ns: tuple[int, ...] | None = None
    due_at_once: bool = False


@asynccontextmanager
async def plain_tasks() -> AsyncIterator[asyncio.TaskGroup]:
    """A group of tasks that fails with the error of the one that failed first, not with a group of errors."""
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None


@dataclass(kw_only=True)
class Driver:
    """Drives one load over one client into one ledger; the clock began at `start_ns` of the monotonic clock."""

    client: Client
    ledger: Ledger
    load: Load
    reserve: Reserve
    keep_texts: bool
    on_answer: Callable[[Answer], None]
    start_ns: int
    _in_flight: int = 0

    async def run(self) -> str:
        """Everything from the first request to the last answer. Returns why no more were asked.

        `minimum` where time and queries were both reached, else `deadline`.
        """
        refill = asyncio.create_task(self.reserve.keep_full())
        try:
            if self.load.arrivals_ns is not None:
                return await self._arrivals(self.load.arrivals_ns)
            async with plain_tasks() as slots:
                for _ in range(self.load.in_flight):
                    slots.create_task(self._slot())
            return MINIMUM if self.reserve.taken >= self.load.minimum_queries else DEADLINE
        finally:
            refill.cancel()

    async def _slot(self) -> None:
        due_ns = self.start_ns
        while self._wants_more():
            answer = await self._ask(due_ns)
            if not answer.stamps_ns:
                await asyncio.sleep(BREATH_S)
            due_ns = self.start_ns if self.load.due_at_once else time.monotonic_ns()

    def _wants_more(self) -> bool:
        passed_s = (time.monotonic_ns() - self.start_ns) / 1e9
        if passed_s < self.load.minimum_s:
            return True
        return self.reserve.taken < self.load.minimum_queries and passed_s < PATIENCE * self.load.minimum_s

    async def _arrivals(self, times_ns: tuple[int, ...]) -> str:
        async with plain_tasks() as asked:
            for time_ns in times_ns:
                due_ns = self.start_ns + time_ns
                while (wait_ns := due_ns - time.monotonic_ns()) > 0:
                    await asyncio.sleep(wait_ns / 1e9)
                asked.create_task(self._arrived(due_ns))
        return MINIMUM

    async def _arrived(self, due_ns: int) -> None:
        if self._in_flight < self.load.most_in_flight:
            await self._ask(due_ns)
            return
        index, prompt, _ = self.reserve.take()
        answer = Answer(asked_tokens=prompt.output_tokens, issued_ns=time.monotonic_ns())
        answer.failed(outcomes.OVERFLOW)
        self.ledger.begin(index, due_ns, prompt, answer)
        self.ledger.end(index)
        self.on_answer(answer)

    async def _ask(self, due_ns: int) -> Answer:
        """The next request, from its bytes to its row."""
        index, prompt, request = self.reserve.take()
        answer = Answer(asked_tokens=prompt.output_tokens, keep_texts=self.keep_texts)
        self._in_flight += 1
        self.ledger.begin(index, due_ns, prompt, answer)
        try:
            await self.client.send(request, answer)
        finally:
            self._in_flight -= 1
            self.ledger.end(index)
            self.on_answer(answer)
        return answer
