"""Continuous batching on a pair: prompts are sent ahead, and come into free rows while other rows are decoded.

What is said does not depend on when a prompt comes: a row sees itself alone, and draws belong to the request.
"""

from __future__ import annotations

import heapq
from collections import deque

import numpy as np

from oildrop.workloads.lm_generate.batcher import Batcher, Waiting
from oildrop.workloads.lm_generate.disaggregated import Disaggregated
from oildrop.workloads.lm_generate.sampling import Sampler
from oildrop.workloads.lm_generate.shapes import AHEAD_GROUPS
from oildrop.workloads.served_protocols import Emission


class AheadBatcher(Batcher):
    """A `Batcher` whose prompts are read elsewhere meanwhile. Its stopwatch has the other end's time of prefill."""

    def __init__(self, pair: Disaggregated, sampler: Sampler, slots: int, prefill_requests: int) -> None:
        super().__init__(pair, sampler, slots, prefill_requests)
        self._pair = pair
        self._out: deque[tuple[list[Waiting], list[int]]] = deque()

    def step(self) -> list[Emission]:
        """Send prompts ahead; then put those that have come into their rows, or decode, or wait for some to come."""
        while self._waiting and self._free and len(self._out) < AHEAD_GROUPS:
            self._send_ahead()
        if self._out and (not self._rows or self._pair.has_come()):
            return self._put_next()
        return super()._timed_decode() if self._rows else []

    def _send_ahead(self) -> None:
        count = min(len(self._waiting), len(self._free), self._prefill_requests)
        taken = [self._waiting.popleft() for _ in range(count)]
        self._out.append((taken, [heapq.heappop(self._free) for _ in range(count)]))
        self._pair.send_ahead([request.prompt for request in taken])

    def _put_next(self) -> list[Emission]:
        taken, slots = self._out.popleft()
        read = self._pair.put_next(np.array(slots, dtype=np.int32))
        self.stopwatch.prefilled(read.spent_ns, sum(len(request.prompt) for request in taken))
        return self._emit(read, self._seated(taken, slots))
