"""Continuous batching: requests enter rows of the cache as they become free, and leave them as they are answered.

A step is either one prefill of some that wait or one decode of all that are being answered; those that wait go
first, so that rows do not stand empty. The first token of an answer comes from its prefill.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.errors import UsageError
from oildrop.workloads.generator import Generator, Tokens
from oildrop.workloads.lm_generate.sampling import Sampler
from oildrop.workloads.lm_generate.stopwatch import Stopwatch
from oildrop.workloads.served_protocols import Emission


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A request that has arrived: its number, its prompt (int32), and how many tokens it asks for."""

    index: int
    prompt: NDArray[np.int32]
    output_tokens: int


@dataclass(kw_only=True)
class Row:
    """A request that is being answered.

    Attributes:
        given: Tokens of the answer so far.
        last: The newest of them, not yet in the cache.
        position: Where in the row `last` belongs.
    """

    index: int
    output_tokens: int
    slot: int
    given: int
    last: int
    position: int


class Batcher:
    """Who is answered next, on a generator with `slots` rows that reads `prefill_requests` prompts at once.

    Attributes:
        stopwatch: Time in either kind of step.
    """

    def __init__(self, generator: Generator, sampler: Sampler, slots: int, prefill_requests: int) -> None:
        self._generator, self._sampler = generator, sampler
        self._prefill_requests = prefill_requests
        self._free = list(range(slots))  # a heap: low rows first, so that those in use stay together
        self._waiting: deque[Waiting] = deque()
        self.stopwatch = Stopwatch()
        self._rows: list[Row] = []  # in the order of their slots

    def admit(self, requests: list[Waiting]) -> None:
        """They wait, first come first served.

        Raises:
            UsageError: One asks for no tokens.
        """
        for request in requests:
            if request.output_tokens < 1:
                raise UsageError(f"request {request.index} asks for {request.output_tokens} tokens: at least 1")
        self._waiting.extend(requests)

    def step(self) -> list[Emission]:
        """One prefill or one decode; [] where nobody waits or is being answered."""
        if not (self._waiting and self._free):
            return self._timed_decode() if self._rows else []
        began_ns = self.stopwatch.now()
        emissions, read_tokens = self._prefill()
        self.stopwatch.prefilled(self.stopwatch.now() - began_ns, read_tokens)
        return emissions

    def _timed_decode(self) -> list[Emission]:
        began_ns = self.stopwatch.now()
        emissions = self._decode()
        said_tokens = sum(len(emission.tokens) for emission in emissions)
        self.stopwatch.decoded(self.stopwatch.now() - began_ns, said_tokens)
        return emissions

    def _prefill(self) -> tuple[list[Emission], int]:
        """What was said, and how many tokens of prompts were read."""
        count = min(len(self._waiting), len(self._free), self._prefill_requests)
        taken = [self._waiting.popleft() for _ in range(count)]
        slots = [heapq.heappop(self._free) for _ in range(count)]
        handle = self._read(np.array(slots, dtype=np.int32), [request.prompt for request in taken])
        return self._emit(handle, self._seated(taken, slots)), sum(len(request.prompt) for request in taken)

    def _seated(self, taken: list[Waiting], slots: list[int]) -> list[Row]:
        """Requests whose prompts are in their rows; they are answered from now on."""
        rows = [
            Row(
                index=request.index,
                output_tokens=request.output_tokens,
                slot=slot,
                given=0,
                last=0,
                position=len(request.prompt) - 1,
            )
            for request, slot in zip(taken, slots, strict=True)
        ]
        self._rows = sorted([*self._rows, *rows], key=lambda row: row.slot)
        return rows

    def _read(self, slots_B: Tokens, prompts: list[Tokens]) -> Any:
        """Prompts into rows; the handle of the logits after each."""
        return self._generator.prefill(slots_B, prompts)

    def _decode(self) -> list[Emission]:
        slots, tokens, positions = np.array(
            [(row.slot, row.last, row.position) for row in self._rows], dtype=np.int32
        ).T.copy()
        return self._emit(self._generator.decode(slots, tokens, positions), list(self._rows))

    def _emit(self, handle: Any, rows: list[Row]) -> list[Emission]:
        """The next token of each of `rows`."""
        chosen = self._sampler.choose(self._generator, handle, [(row.index, row.given) for row in rows]).tolist()
        return self._said([(token,) for token in chosen], rows)

    def _said(self, said: list[tuple[int, ...]], rows: list[Row]) -> list[Emission]:
        """One token or more for each of `rows`; those that have all they asked for leave."""
        emissions = []
        for row, tokens in zip(rows, said, strict=True):
            row.given, row.last, row.position = row.given + len(tokens), tokens[-1], row.position + len(tokens)
            done = row.given == row.output_tokens
            emissions.append(Emission(index=row.index, tokens=tokens, done=done))
            if done:
                heapq.heappush(self._free, row.slot)
        if any(emission.done for emission in emissions):
            self._rows = [row for row in self._rows if row.given < row.output_tokens]
        return emissions
