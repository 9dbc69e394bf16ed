"""Which of a run's answers are assessed: those with the smallest words of the seed, which nobody can choose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from oildrop.rules.formulas.words import WORDS_PER_BLOCK, raw_words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPARSE = 8
"""Words are drawn for all requests up to the last at once, unless there are so many times as many as were answered."""


def words_of(seed: int, first: int, count: int) -> NDArray[np.uint64]:
    """uint64 [count]: the words of requests `first`, `first` + 1, …, the first of each one's block."""
    return raw_words(seed, "assess", first_block=first, count=count * WORDS_PER_BLOCK)[::WORDS_PER_BLOCK]


def picked(seed: int, answered: Sequence[int], *, share: int, least: int, most: int) -> list[int]:
    """Which of the `answered` requests are assessed: one in `share`, at least `least` and at most `most`.

    Those whose words are smallest, in rising order of their number.
    """
    if not answered:
        return []
    count = min(max(len(answered) // share, least), most)
    last = max(answered)
    if last < SPARSE * len(answered):
        words = words_of(seed, 0, last + 1)
        of = {index: int(words[index]) for index in answered}
    else:
        of = {index: int(words_of(seed, index, 1)[0]) for index in answered}
    return sorted(sorted(answered, key=lambda index: (of[index], index))[:count])
