"""What is asked: sentences of word pieces drawn by integers, each with its beginning and end.

A sentence is a salad of words, which an encoder finds neither easier nor harder than prose. With six words of 28
thousand and more, no two sentences of a run are ever alike by chance.

Shape suffixes: N sentences of a block, B of a batch, T tokens of the longest, R words an item.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.errors import UsageError
from oildrop.workloads.engine import Inputs
from oildrop.workloads.integers import WORDS_PER_BLOCK, raw_words
from oildrop.workloads.protocols import Settings

BLOCK_REQUESTS = 1024
"""Sentences made at once: the generator's cost a call is spread thin."""

KEPT_BLOCKS = 64
"""Of them the last that were asked for are kept, so that a long run does not fill the memory; others are made again."""

SHORTEST = 32
"""Sentences are filled up to this length, or twice, four times, … as much: graphs of few shapes serve them all."""

LANE_BITS = 32


class Requests:
    """The sentences of one seed, made a block at a time.

    Raises:
        UsageError: Settings that leave no room for a word, or no word to draw.
    """

    def __init__(self, settings: Settings, seed: int) -> None:
        self._seed = seed
        self._least, self._most = int(settings["requests.tokens_min"]), int(settings["requests.tokens_max"])
        self._first, self._vocabulary = int(settings["data.first_word"]), int(settings["model.vocabulary"])
        self._begin, self._end = int(settings["data.begin_token"]), int(settings["data.end_token"])
        self._repeated = settings["requests.prompts"] == "repeated"
        self._kept = lru_cache(KEPT_BLOCKS)(self._block)  # asked by another thread too, who keeps the requests
        require_possible(settings)

    def prepare(self, count: int) -> None:
        """Make the first `count` sentences now, so that none is made while a clock runs."""
        for number in range(-(-count // BLOCK_REQUESTS)):
            self._kept(number)

    def length(self, index: int) -> int:
        """Tokens of the sentence, beginning and end included."""
        _, length = self._of(index)
        return int(length)

    def batch(self, indices: Sequence[int]) -> Inputs:
        """tokens int32 [B, T] and lengths int32 [B]; short ones are filled with zeros up to the longest's `padded`."""
        length_B = np.array([self._of(index)[1] for index in indices], dtype=np.int32)
        end = padded(int(length_B.max()), self._most)
        return np.stack([self._of(index)[0][:end] for index in indices]), length_B

    def _of(self, index: int) -> tuple[NDArray[np.int32], np.int32]:
        index = 0 if self._repeated else index
        tokens_NT, length_N = self._kept(index // BLOCK_REQUESTS)
        place = index % BLOCK_REQUESTS
        return tokens_NT[place], length_N[place]

    def _block(self, number: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Block `number`. Sentence i owns whole blocks of Philox words: the length, then two of its words in each."""
        own = -(-(1 + -(-(self._most - 2) // 2)) // WORDS_PER_BLOCK) * WORDS_PER_BLOCK
        words_NR = raw_words(
            self._seed,
            "sentences",
            first_block=number * BLOCK_REQUESTS * own // WORDS_PER_BLOCK,
            count=BLOCK_REQUESTS * own,
        ).reshape(BLOCK_REQUESTS, own)
        length_N = self._least + _below(words_NR[:, 0] >> np.uint64(LANE_BITS), self._most - self._least + 1)
        low, high = words_NR[:, 1:] & np.uint64(2**LANE_BITS - 1), words_NR[:, 1:] >> np.uint64(LANE_BITS)
        lanes = np.stack((low, high), axis=2).reshape(BLOCK_REQUESTS, -1)[:, : self._most - 2]
        tokens_NT = np.empty((BLOCK_REQUESTS, self._most), dtype=np.int32)
        tokens_NT[:, 0] = self._begin
        tokens_NT[:, 1:-1] = self._first + _below(lanes, self._vocabulary - self._first)
        tokens_NT[np.arange(BLOCK_REQUESTS), length_N - 1] = self._end
        tokens_NT[np.arange(self._most) >= length_N[:, None]] = 0
        return tokens_NT, length_N.astype(np.int32)


def padded(length: int, longest: int) -> int:
    """The length up to which a sentence is filled: `SHORTEST`, doubled until it fits, `longest` at most."""
    size = SHORTEST
    while size < length:
        size *= 2
    return min(size, longest)


def _below(lanes: NDArray[np.uint64], limit: int) -> NDArray[np.int64]:
    """0 to `limit` - 1 from 32 bits each; odds differ by at most limit / 2^32."""
    return lanes.astype(np.int64) * limit >> LANE_BITS


def require_possible(settings: Settings) -> None:
    """Raises UsageError for settings that leave no room for a word, or no word to draw."""
    least, most, positions = (
        int(settings[key]) for key in ("requests.tokens_min", "requests.tokens_max", "model.positions")
    )
    if not 3 <= least <= most <= positions:
        raise UsageError(
            f"requests.tokens_min is {least} and requests.tokens_max {most}: a sentence has a beginning, a word and an "
            f"end, and at most model.positions = {positions} tokens"
        )
    first, vocabulary = int(settings["data.first_word"]), int(settings["model.vocabulary"])
    if first >= vocabulary:
        raise UsageError(f"data.first_word is {first}: it must lie under model.vocabulary = {vocabulary}")
