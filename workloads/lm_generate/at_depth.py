"""A generator whose rows all hold the same tokens before any prompt: reading and decoding are measured at depth.

Those tokens are read once, before the clock; a prompt is read on from them and never touches their part of its row. Who
asks counts positions from the end of them, so that batching and quality know nothing of depth.

Shape suffixes: B requests of one call, D tokens held before, T positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.engine import Weights
from oildrop.workloads.generator import CacheRow, Generator, Tokens

Logits = NDArray[np.floating]
NOTHING: Tokens = np.zeros(0, dtype=np.int32)


class AtDepth:
    """The `Generator` behind which `inner` holds tokens already; none until `begin_at`.

    Args:
        rows: Rows of the cache, all of which are filled.
        at_once: Prompts that are read in one call at most.
    """

    def __init__(self, inner: Generator, rows: int, at_once: int) -> None:
        self._inner, self._rows, self._at_once = inner, rows, min(at_once, rows)
        self._held_D = NOTHING
        self._is_filled = True

    @property
    def depth(self) -> int:
        """Tokens that every row holds before any prompt."""
        return len(self._held_D)

    def begin_at(self, held_D: Tokens) -> None:
        """From now on every row holds `held_D`."""
        self._held_D = held_D
        self._fill()

    def build(self) -> None:
        """As inside."""
        self._inner.build()

    def set_weights(self, weights: Weights) -> None:
        """What rows hold comes from older weights until they are filled again."""
        self._inner.set_weights(weights)
        self._is_filled = False

    def prefill(self, slots_B: Tokens, prompts: Sequence[Tokens], start: int = 0) -> Any:
        """Read on from what is held."""
        if not self._is_filled:
            self._fill()
        return self._inner.prefill(slots_B, prompts, self.depth + start)

    def decode(self, slots_B: Tokens, tokens_B: Tokens, positions_B: Tokens) -> Any:
        """At positions behind what is held."""
        return self._inner.decode(slots_B, tokens_B, positions_B + np.int32(self.depth))

    def extend(self, slots_B: Tokens, tokens: Sequence[Tokens], positions_B: Tokens) -> Any:
        """Likewise."""
        return self._inner.extend(slots_B, tokens, positions_B + np.int32(self.depth))

    def greedy(self, handle: Any) -> Tokens:
        """As inside."""
        return self._inner.greedy(handle)

    def logits(self, handle: Any) -> NDArray[np.float32]:
        """As inside."""
        return self._inner.logits(handle)

    def prompt_logits(self, tokens_BT: Tokens) -> NDArray[np.float32]:
        """After each token, what is held before it; rows lose what they hold."""
        self._is_filled = not self.depth
        return self._inner.prompt_logits(_behind(self._held_D, tokens_BT))[:, self.depth :]

    def cache_of(self, slot: int, length: int) -> CacheRow:
        """With what is held."""
        return self._inner.cache_of(slot, self.depth + length)

    def put_cache(self, slot: int, cache: CacheRow) -> None:
        """With what is held."""
        self._inner.put_cache(slot, cache)

    def _fill(self) -> None:
        self._is_filled = True
        for first in range(0, self._rows if self.depth else 0, self._at_once):
            rows_B = np.arange(first, min(first + self._at_once, self._rows), dtype=np.int32)
            self._inner.greedy(self._inner.prefill(rows_B, [self._held_D] * len(rows_B)))  # To read it is to wait.


def behind(held_D: Tokens, model: Callable[[Tokens], Logits]) -> Callable[[Tokens], Logits]:
    """The reference's logits [B, T, V] after each token that stands behind `held_D`."""
    return lambda tokens_BT: model(_behind(held_D, tokens_BT))[:, len(held_D) :]


def _behind(held_D: Tokens, tokens_BT: Tokens) -> Tokens:
    return np.concatenate([np.broadcast_to(held_D, (len(tokens_BT), len(held_D))), tokens_BT], axis=1)
