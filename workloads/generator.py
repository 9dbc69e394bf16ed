"""What a framework must do to serve a decoder: a cache of keys and values with one row for each request it answers.

A generator holds the weights and the cache on one device. What is answered when is decided free of any framework
(`lm_generate/batcher.py`); gates and quality ask the same methods, so that what is checked is what is timed.

Shape suffixes: B requests of one call, T positions, V vocabulary, L layers, K key-value heads, D head width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.engine import Weights

Tokens = NDArray[np.int32]

CacheRow = NDArray[np.float32] | NDArray[np.uint16]
"""Keys and values of one row's first T positions, [L, 2, K, T, D]: layers; keys, values; key-value heads; head width.

Keys have their positions turned in, elements i and i + D/2 together. float32 where the compute dtype is fp32, and the
bits of a bfloat16 each where it is bf16.
"""


class Generator(Protocol):
    """A decoder with `execution.slots` rows of cache on one device.

    `make_generator(settings, device)` stores both and nothing else. `execution.dtype` is `fp32` (strict) or `bf16`
    (matrix products in bfloat16, the residual stream in fp32, as in training); `execution.weights` names the
    quantisation (`lm_generate/quantised.py`). A row's cache holds positions 0 to `positions_of(settings)` - 1.
    Engines pad inside to a few fixed shapes; what they return has the shapes stated here. What a row held before its
    prefill never shows. Logits stay on the device behind an opaque handle, which is good until the next call.
    """

    def build(self) -> None:
        """Make weights, cache and graphs, and run every graph once.

        Raises:
            Unsupported: `execution.compile` or `execution.weights` cannot be had here; says what to take instead.
        """

    def set_weights(self, weights: Weights) -> None:
        """Give the model these weights, fp32 by canonical name, cast and quantised once as the settings say."""

    def prefill(self, slots_B: Tokens, prompts: Sequence[Tokens], start: int = 0) -> Any:
        """Read prompts, at most `execution.prefill_requests`, into rows `slots_B` from position `start` on.

        Args:
            slots_B: int32 [B], different rows.
            prompts: B arrays of int32, each as long as its prompt, or as what follows the first `start` tokens of it.
            start: The same for all: how many tokens each row holds already; what is read sees them.

        Returns:
            Handle of the logits [B, V] after each prompt's last token.
        """

    def decode(self, slots_B: Tokens, tokens_B: Tokens, positions_B: Tokens) -> Any:
        """One token a row, written at its position; it sees what the row holds before it, and itself.

        Args:
            slots_B: int32 [B], different rows in rising order.
            tokens_B: int32 [B].
            positions_B: int32 [B], each one past the last position that its row was given.

        Returns:
            Handle of the logits [B, V] after each token.
        """

    def extend(self, slots_B: Tokens, tokens: Sequence[Tokens], positions_B: Tokens) -> Any:
        """Several tokens a row in one step; each sees what the row holds before the first, and those up to itself.

        What the row held at these positions and after them is replaced or never shows.

        Args:
            slots_B: int32 [B], different rows in rising order.
            tokens: B arrays of int32, one token or more each, as many as the row has room for at most.
            positions_B: int32 [B], where the first of each belongs.

        Returns:
            Handle of the logits [N, V] after each token: those of the first row, then those of the second, and so on.

        Raises:
            Unsupported: This framework cannot; says what to take instead.
        """

    def greedy(self, handle: Any) -> Tokens:
        """The likeliest token of each row, int32 [B] on the host; waits for the device."""

    def logits(self, handle: Any) -> NDArray[np.float32]:
        """The logits, float32 [B, V] on the host; waits for the device."""

    def prompt_logits(self, tokens_BT: Tokens) -> NDArray[np.float32]:
        """Logits after every token, float32 [B, T, V] on the host, through the prefill's graph.

        It may use any rows of the cache: what they held is lost.

        Args:
            tokens_BT: int32 [B, T], any B, T up to `positions_of(settings)`.
        """

    def cache_of(self, slot: int, length: int) -> CacheRow:
        """What row `slot` holds of its first `length` positions, on the host; waits for the device."""

    def put_cache(self, slot: int, cache: CacheRow) -> None:
        """Give row `slot` what another generator holds of a prompt; returns once the device has it."""
