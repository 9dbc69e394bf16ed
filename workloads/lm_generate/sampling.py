"""Which token comes next: the likeliest, or one drawn from the model's distribution by the rulebook's integers.

Shape suffixes: B rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.generator import Generator, Tokens
from oildrop.workloads.integers import WORDS_PER_BLOCK, raw_words
from oildrop.workloads.protocols import Settings

MANTISSA_BITS = 53
"""Of a float64: what a draw keeps of its word, so that it is exact."""


class Sampler(Protocol):
    """Chooses tokens; `places` names each row's request and how many tokens of its answer went before."""

    def choose(self, generator: Generator, handle: Any, places: Sequence[tuple[int, int]]) -> Tokens:
        """The next token of each row, int32 [B], from the logits behind `handle`."""


class Greedy:
    """The likeliest token."""

    def choose(self, generator: Generator, handle: Any, places: Sequence[tuple[int, int]]) -> Tokens:
        """Worked out on the device."""
        return generator.greedy(handle)


class Seeded:
    """A token by inverting the distribution function at a number between 0 and 1.

    Args:
        temperature: By which logits are divided.
    """

    def __init__(self, seed: int, temperature: float) -> None:
        self._seed, self._temperature = seed, temperature

    def choose(self, generator: Generator, handle: Any, places: Sequence[tuple[int, int]]) -> Tokens:
        """Worked out on the host, in float64."""
        cumulative_BV = cumulative(generator.logits(handle), self._temperature)
        draws_B = [draw(self._seed, index, place) for index, place in places]
        rows = zip(cumulative_BV, draws_B, strict=True)
        return np.array([np.searchsorted(row_V, u, side="right") for row_V, u in rows], dtype=np.int32)


def sampler_of(settings: Settings, seed: int) -> Sampler:
    """The sampler that `sampling.method` names, for a run of `seed`."""
    if settings["sampling.method"] == "greedy":
        return Greedy()
    return Seeded(seed, float(settings["sampling.temperature"]))


def draw(seed: int, index: int, place: int, stream: str = "sampling") -> float:
    """A number u, 0 <= u < 1, a multiple of 2^-53: for token `place` of request `index`'s answer."""
    block, word = divmod(place, WORDS_PER_BLOCK)
    words = raw_words(seed, f"{stream}/{index}", first_block=block, count=WORDS_PER_BLOCK)
    return (int(words[word]) >> (64 - MANTISSA_BITS)) / 2**MANTISSA_BITS


def cumulative(logits_BV: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """The distribution function of softmax(logits / temperature), [B, V], 1 at the end."""
    sum_BV = _weights(logits_BV, temperature).cumsum(axis=-1)
    return sum_BV / sum_BV[:, -1:]


def shares(logits_BV: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """softmax(logits / temperature), [B, V]."""
    weight_BV = _weights(logits_BV, temperature)
    return weight_BV / weight_BV.sum(axis=-1, keepdims=True)


def drawn(shares_V: NDArray[np.float64], u: float) -> int:
    """The token at `u` of the distribution function of `shares_V`, which need not sum to 1."""
    sum_V = shares_V.cumsum()
    return int(np.searchsorted(sum_V / sum_V[-1], u, side="right"))


def _weights(logits_BV: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    scaled_BV = logits_BV.astype(np.float64) / temperature
    return np.exp(scaled_BV - scaled_BV.max(axis=-1, keepdims=True))
