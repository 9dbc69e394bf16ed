"""The timed answers that are assessed, which the rulebook picks, and what the model put out for them."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.formulas.assessed import picked, words_of
from oildrop.workloads.protocols import Settings

BLOCK_WORDS = 4096
"""Words drawn at once: the generator's cost a call is spread thin."""


def assessed(seed: int, answered: Sequence[int], settings: Settings) -> list[int]:
    """Which of the `answered` requests are assessed, by the settings `assess.*`."""
    share, least, most = (int(settings[f"assess.{key}"]) for key in ("share", "least", "most"))
    return picked(seed, answered, share=share, least=least, most=most)


class Kept:
    """What a model put out for those requests that are assessed if the run ends now; the rest is let go.

    The `most` smallest words of a run are always among those kept, whenever it ends.

    Args:
        most: As `assess.most`.
    """

    def __init__(self, seed: int, most: int) -> None:
        self._seed, self._most = seed, most
        self._words: list[int] = []
        self._largest: list[tuple[int, int]] = []  # Negated, so that the heap's first is the largest word.
        self._outputs: dict[int, NDArray[Any]] = {}

    def keep(self, indices: Sequence[int], outputs: NDArray[Any]) -> None:
        """Row by row the outputs of requests `indices`; of one that is asked again the first stays."""
        for index, output in zip(indices, outputs, strict=True):
            if index in self._outputs:
                continue
            entry = (-self._word(index), -index)
            if len(self._largest) < self._most:
                heapq.heappush(self._largest, entry)
            elif entry > self._largest[0]:
                del self._outputs[-heapq.heapreplace(self._largest, entry)[1]]
            else:
                continue
            self._outputs[index] = output.copy()

    def outputs(self, indices: Sequence[int]) -> NDArray[Any]:
        """One row for each of `indices`, all of which `assessed` chose."""
        return np.stack([self._outputs[index] for index in indices])

    def _word(self, index: int) -> int:
        while index >= len(self._words):
            self._words.extend(words_of(self._seed, len(self._words), BLOCK_WORDS).tolist())
        return self._words[index]
