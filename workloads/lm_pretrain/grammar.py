"""The language: its parameters, its tokens, and every count behind a probability.

A document is a start token and then `document_tokens` tokens. In *text* the next token is chosen in two
draws: first what kind of thing follows (a word, `let`, `get`, an opening or a closing bracket), then which.
Words follow a Zipfian Markov table of the last word, across everything that stands between. The rest needs memory:

    let N a b c     binds name N to the value c; a and b are free digits, c = (a + b) mod 10
    get N v         uses a bound name again; v is the value it was bound to last
    ( ... )         a closing bracket has the type of the innermost open one; depth is limited

Every probability is an exact ratio of integers, given the document so far. The tables come from the language
seed through Philox words and integer arithmetic, so that they are the same bits everywhere.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.errors import UsageError
from oildrop.workloads.integers import raw_words
from oildrop.workloads.protocols import Settings

KIND_TOTAL = 2**8  # a kind's counts sum to this
WORD_TOTAL = 2**12  # a word row's counts sum to this
PICK_TOTAL = 2**16  # the counts of a choice among n equals sum to this
DIGITS = 10
MOST_WORDS = 4000  # the inverse table has 8 KiB a word

START, LET, GET = 0, 1, 2
OPEN = 3  # first opening bracket; the closing ones, digits, names and words follow


@dataclass(frozen=True, kw_only=True)
class Grammar:
    """Parameters of one language; `*_share` are counts out of 256 and 4096.

    Attributes:
        language_seed: Seed of the Markov table.
        document_tokens: Scored tokens of a document (the start token is not scored).
        words: Size of the vocabulary of words.
        zipf_offset: Mandelbrot's flattening of Zipf's law: word r (from 1) has the weight 1 / (r + zipf_offset).
        names: Names that can be bound; a power of two, so that all are equally likely.
        brackets: Types of bracket.
        depth: Deepest nesting.
        successors: Preferred followers of a word.
        successor_share: Part of a word row (of 4096) that its preferred followers divide, the k-th with weight 1 / k;
            all words share the rest in Zipf's proportions.
        let_share, get_share, open_share, close_share: Parts of a choice of kind (of 256); a kind that is
            impossible just now leaves its part to words.
    """

    language_seed: int
    document_tokens: int
    words: int
    zipf_offset: int
    names: int
    brackets: int
    depth: int
    successors: int
    successor_share: int
    let_share: int
    get_share: int
    open_share: int
    close_share: int

    def __post_init__(self) -> None:
        if self.names not in (1, 2, 4, 8):
            raise UsageError(f"data.names = {self.names}: use 1, 2, 4 or 8, so that each is equally likely")
        if not 1 <= self.depth <= 7 or not 1 <= self.brackets <= 7:
            raise UsageError(f"depth = {self.depth}, brackets = {self.brackets}: each must be 1 to 7")
        if not 1 <= self.successors <= self.words <= MOST_WORDS:
            raise UsageError(f"words = {self.words}, successors = {self.successors}: at most {MOST_WORDS} and as many")
        if not 0 <= self.successor_share <= WORD_TOTAL:
            raise UsageError(f"successor_share = {self.successor_share}: must be 0 to {WORD_TOTAL}")
        shares = (self.let_share, self.get_share, self.open_share, self.close_share)
        if min(shares) < 0 or sum(shares) >= KIND_TOTAL:
            raise UsageError(f"kind shares {shares}: none below 0, and a sum below {KIND_TOTAL}")

    @property
    def close(self) -> int:
        """Token of the first closing bracket."""
        return OPEN + self.brackets

    @property
    def digit(self) -> int:
        """Token of the digit 0."""
        return OPEN + 2 * self.brackets

    @property
    def name(self) -> int:
        """Token of the first name."""
        return self.digit + DIGITS

    @property
    def word(self) -> int:
        """Token of the most frequent word."""
        return self.name + self.names

    @property
    def vocabulary(self) -> int:
        """Number of different tokens."""
        return self.word + self.words

    def kind_counts(self, *, any_bound: bool, depth: int) -> tuple[int, int, int, int, int]:
        """Counts of (word, let, get, open, close) in text, out of 256."""
        get = self.get_share if any_bound else 0
        opening = self.open_share if depth < self.depth else 0
        closing = self.close_share if depth > 0 else 0
        return KIND_TOTAL - self.let_share - get - opening - closing, self.let_share, get, opening, closing

    @cached_property
    def word_counts(self) -> NDArray[np.int64]:
        """int64 [words + 1, words]: counts of the next word, out of 4096, by the last one; the last row is for none."""
        zipf = [2**20 // (rank + 1 + self.zipf_offset) for rank in range(self.words)]
        rest = allot(WORD_TOTAL - self.successor_share, zipf)
        rows = [list(rest) for _ in range(self.words)]
        favours = allot(self.successor_share, [2**20 // (rank + 1) for rank in range(self.successors)])
        for word, row in enumerate(rows):
            for follower, count in zip(self._followers(word, zipf), favours, strict=True):
                row[follower] += count
        return np.array([*rows, allot(WORD_TOTAL, zipf)], dtype=np.int64)

    def _followers(self, word: int, zipf: Sequence[int]) -> list[int]:
        """Distinct preferred followers of `word`, drawn one by one with Zipf's weights."""
        bounds = list(itertools.accumulate(zipf))
        chosen: list[int] = []
        for draw in raw_words(self.language_seed, f"language/followers/{word}", first_block=0, count=4096):
            follower = bisect.bisect_right(bounds, int(draw) * bounds[-1] >> 64)
            if follower not in chosen:
                chosen.append(follower)
            if len(chosen) == self.successors:
                return chosen
        raise UsageError(f"successors = {self.successors}: too many of {self.words} words; take fewer")


def allot(total: int, weights: Sequence[int]) -> list[int]:
    """`total` divided in proportion to `weights`; what rounding down leaves goes to the largest remainders.

    Source: Hamilton's method of apportionment; ties go to the lower index.
    """
    whole = sum(weights)
    counts = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
    for i in by_remainder[: total - sum(counts)]:
        counts[i] += 1
    return counts


def pick_counts(choices: int) -> list[int]:
    """Counts, out of 65536, of floor(draw * choices / 65536) over all draws of 16 bits."""
    edges = [-(-PICK_TOTAL * i // choices) for i in range(choices + 1)]
    return [high - low for low, high in itertools.pairwise(edges)]


def grammar_of(settings: Settings) -> Grammar:
    """The grammar that the `data.*` settings describe."""
    return Grammar(**{field: int(settings[f"data.{field}"]) for field in Grammar.__dataclass_fields__})
