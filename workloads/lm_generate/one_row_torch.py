"""The step of one row alone on a processor, compiled: one graph a token, whatever row it is and however full.

What a graph costs besides its products is paid once a token. The graph only reads the cache; the keys and values that
it returns are written here, because a graph that writes into a part of a tensor may copy the whole.

Shape suffixes: L layers, R rows of the cache, K key-value heads, T positions, D head width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from oildrop.workloads.compiler_torch import in_own_graphs
from oildrop.workloads.lm_generate.decoder_torch import Decoder

BLOCK = 16
"""Positions that are looked at are a multiple of so many, so that their number is never 0 or 1: each of these would be
a graph of its own."""

SPARE_POSITIONS = 1
"""Positions at the end of each row of the cache that nobody uses. A view of all the others is then no more contiguous
than a shorter one; else it would be a graph of its own."""


ARGUMENTS = ("token_1", "position_1", "cache_L2KTD")
"""Of `Decoder.say_alone`."""


class OneRow:
    """Steps of one row of `cache_L2RKTD`, whose rows have SPARE_POSITIONS more in memory than T."""

    def __init__(self, decoder: Decoder, cache_L2RKTD: Tensor) -> None:
        self._cache_L2RKTD, self._positions = cache_L2RKTD, cache_L2RKTD.shape[4]
        self._views: dict[tuple[int, int], Tensor] = {}
        options = {
            "guard_filter_fn": _arguments_alone,
            "size_asserts": False,
            "cpp.enable_floating_point_contract_flag": "fast",
        }
        self._say = in_own_graphs(decoder.say_alone, options=options)

    def __call__(self, row: int, token: int, position: int) -> Tensor:
        """Logits [1, V] after `token`, which is written at `position` of `row`."""
        length = min(position - position % BLOCK + BLOCK, self._positions)
        token_1, position_1 = torch.tensor([[token], [position]]).unbind()
        logits_1V, new_2KD = self._say(token_1, position_1, self._view(row, length))
        self._cache_L2RKTD[:, :, row, :, position] = torch.stack(new_2KD)
        return logits_1V

    def run_every_length(self) -> None:
        """So that nothing is left to compile, or to look at for the first time."""
        for length in range(BLOCK, self._positions + BLOCK, BLOCK):
            self(0, 0, min(length, self._positions) - 1)

    def _view(self, row: int, length: int) -> Tensor:
        """The first positions of a row, [L, 2, K, length, D], their number open to the compiler."""
        view = self._views.get((row, length))
        if view is None:
            view = self._views[row, length] = self._cache_L2RKTD[:, :, row, :, :length]
            if self._positions > BLOCK:
                torch._dynamo.mark_dynamic(view, 3)
        return view


def _arguments_alone(guards: list[Any]) -> list[bool]:
    """Check a step's arguments and the state of PyTorch (which has no name) alone.

    The decoder's tensors are written in place, never others, and functions stay what they are: to look at some 300 of
    them cost a third of a millisecond a token.
    """
    return [guard.name in ("", *ARGUMENTS) for guard in guards]
