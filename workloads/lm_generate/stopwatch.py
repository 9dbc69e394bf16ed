"""How long the engine reads prompts and how long it decodes: two readings of the clock a step."""

from __future__ import annotations

import time
from collections.abc import Callable

from oildrop.workloads.served_protocols import EngineTime

Clock = Callable[[], int]


class Stopwatch:
    """Totals over the steps of a batcher. Times are nanoseconds; a step ends when its tokens are on the host."""

    def __init__(self, clock: Clock = time.monotonic_ns) -> None:
        self.now = clock
        self._prefill, self._decode = [0, 0, 0], [0, 0, 0]

    def prefilled(self, ns: int, tokens: int) -> None:
        """One step took `ns` to read `tokens` of prompts, and said the first token of each answer."""
        _add(self._prefill, ns, tokens)

    def decoded(self, ns: int, tokens: int) -> None:
        """One step took `ns` to say `tokens`."""
        _add(self._decode, ns, tokens)

    def read(self) -> EngineTime:
        """The totals."""
        (prefill_ns, prefill_steps, prefill_tokens), (decode_ns, decode_steps, decode_tokens) = (
            self._prefill,
            self._decode,
        )
        return EngineTime(
            prefill_ns=prefill_ns,
            prefill_steps=prefill_steps,
            prefill_tokens=prefill_tokens,
            decode_ns=decode_ns,
            decode_steps=decode_steps,
            decode_tokens=decode_tokens,
        )


def _add(totals: list[int], ns: int, tokens: int) -> None:
    totals[0] += ns
    totals[1] += 1
    totals[2] += tokens
