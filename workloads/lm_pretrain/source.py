"""The source of known entropy: documents from integers alone, at any index, many at once.

Document i of a seed owns its own Philox blocks, so it is the same whichever block of documents it is asked in.
The generator walks over positions; at each it advances all documents of the block by one token.

Shape suffixes: N documents, T scored tokens.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.integers import WORDS_PER_BLOCK, raw_words
from oildrop.workloads.lm_pretrain.grammar import (
    DIGITS,
    GET,
    KIND_TOTAL,
    LET,
    OPEN,
    START,
    WORD_TOTAL,
    Grammar,
    pick_counts,
)

# What a document does next. The first five are chosen in text, the others are forced by what stands before.
WORD, LET_, GET_, OPEN_, CLOSE_, BIND, FIRST, SECOND, SUM, USE, VALUE = range(11)
TEXT_KINDS = 5
STACK_BITS = 3


class Source:
    """Generator of one language's documents."""

    def __init__(self, grammar: Grammar) -> None:
        self.grammar = grammar

    def documents(
        self, seed: int, first: int, count: int, part: str = "train"
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Documents `first` to `first + count - 1` of (`seed`, `part`).

        Returns:
            tokens int32 [N, T + 1] (the start token first), and information float64 [N]: each document's exact
            -ln p over its T scored tokens, in nats.
        """
        draws_T2N = self._draws(seed, first, count, part)
        walk = _Walk(self, count)
        tokens_TN = np.full((self.grammar.document_tokens + 1, count), START, dtype=np.int32)
        for token_N, (kind_draw_N, draw_N) in zip(tokens_TN[1:], draws_T2N, strict=True):
            token_N[:] = walk.step(kind_draw_N, draw_N)
        return np.ascontiguousarray(tokens_TN.T), walk.information_N

    def prefixes(
        self, seed: int, first: int, count: int, length: int, part: str, held: int = 0
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """The first `length` tokens, the start token among them, of documents `first` on.

        Args:
            held: Where above 0, all of these documents begin with the same so many tokens, those of `held_tokens`,
                and what is returned are the `length` tokens after them.

        Returns:
            tokens int32 [N, length], and information float64 [N, length]: at place k the exact -ln p, in nats, of the
            tokens up to k together, given those that are held; 0 for the start token.
        """
        start = 0 if held else 1
        draws_T2N = self._draws(seed, first, count, part)[: length - start]
        walk = self._held(seed, held)[1].copies(count) if held else _Walk(self, count)
        tokens_LN = np.full((length, count), START, dtype=np.int32)
        information_LN = np.zeros((length, count))
        for k, (kind_draw_N, draw_N) in enumerate(draws_T2N, start=start):
            tokens_LN[k] = walk.step(kind_draw_N, draw_N)
            information_LN[k] = walk.information_N
        return np.ascontiguousarray(tokens_LN.T), np.ascontiguousarray(information_LN.T)

    def held_tokens(self, seed: int, held: int) -> NDArray[np.int32]:
        """The first `held` tokens, int32, the start token among them, of document 0 of part `held`."""
        return np.array(self._held(seed, held)[0], dtype=np.int32)

    def _held(self, seed: int, held: int) -> tuple[list[int], _Walk]:
        walk, tokens = _Walk(self, 1), [START]
        for kind_draw_N, draw_N in self._draws(seed, 0, 1, "held")[: held - 1]:
            tokens.append(int(walk.step(kind_draw_N, draw_N)[0]))
        return tokens[:held], walk

    def _draws(self, seed: int, first: int, count: int, part: str) -> NDArray[np.int64]:
        """Two draws of 16 bits a token, int64 [T, 2, N]: for the kind and for which one."""
        tokens = self.grammar.document_tokens
        blocks = -(-tokens // (2 * WORDS_PER_BLOCK))
        words = raw_words(seed, f"documents/{part}", first_block=first * blocks, count=count * blocks * WORDS_PER_BLOCK)
        draws_NT2 = words.astype("<u8", copy=False).view("<u2").reshape(count, -1, 2)[:, :tokens]
        return np.ascontiguousarray(draws_NT2.transpose(1, 2, 0), dtype=np.int64)

    @cached_property
    def kind_of_draw(self) -> NDArray[np.uint8]:
        """uint8 [2 * (depth + 1), 256]: the kind that a draw chooses, by 2 * depth + (some name is bound)."""
        return np.array([np.repeat(np.arange(TEXT_KINDS), row) for row in self._kind_counts], dtype=np.uint8)

    @cached_property
    def kind_nats(self) -> NDArray[np.float64]:
        """float64 [2 * (depth + 1), 5]: -ln p of a kind; infinite where impossible."""
        with np.errstate(divide="ignore"):
            return -np.log(self._kind_counts / KIND_TOTAL)

    @cached_property
    def word_of_draw(self) -> NDArray[np.uint16]:
        """uint16 [words + 1, 4096]: the word that a draw chooses, by the last word."""
        rows = [np.repeat(np.arange(self.grammar.words), row) for row in self.grammar.word_counts]
        return np.array(rows, dtype=np.uint16)

    @cached_property
    def word_nats(self) -> NDArray[np.float64]:
        """float64 [words + 1, words]: -ln p of the next word by the last one."""
        with np.errstate(divide="ignore"):
            return -np.log(self.grammar.word_counts / WORD_TOTAL)

    @cached_property
    def pick_nats(self) -> NDArray[np.float64]:
        """float64 [largest n + 1, largest n]: -ln p of choice i among n equals."""
        largest = max(DIGITS, self.grammar.names, self.grammar.brackets)
        nats = np.zeros((largest + 1, largest))
        for choices in range(1, largest + 1):
            nats[choices, :choices] = -np.log(np.array(pick_counts(choices)) / 2**16)
        return nats

    @cached_property
    def bound_count(self) -> NDArray[np.int64]:
        """int64 [2^names]: how many bits of a mask are set."""
        return np.array([mask.bit_count() for mask in range(2**self.grammar.names)], dtype=np.int64)

    @cached_property
    def bound_name(self) -> NDArray[np.int64]:
        """int64 [2^names, names]: the i-th name whose bit is set in a mask."""
        names = self.grammar.names
        table = np.zeros((2**names, names), dtype=np.int64)
        for mask in range(2**names):
            bound = [name for name in range(names) if mask >> name & 1]
            table[mask, : len(bound)] = bound
        return table

    @property
    def _kind_counts(self) -> NDArray[np.int64]:
        depths = range(self.grammar.depth + 1)
        rows = [self.grammar.kind_counts(any_bound=bound, depth=depth) for depth in depths for bound in (False, True)]
        return np.array(rows, dtype=np.int64)


class _Walk:
    """The state of N documents between two tokens."""

    def __init__(self, source: Source, count: int) -> None:
        self.source, self.grammar = source, source.grammar
        self.information_N = np.zeros(count)
        self.forced_N = np.zeros(count, dtype=np.int8)  # kind of the next token; 0 is text
        self.last_word_N = np.full(count, self.grammar.words, dtype=np.int64)
        self.depth_N = np.zeros(count, dtype=np.int64)
        self.stack_N = np.zeros(count, dtype=np.int64)  # types of open brackets, the innermost in the lowest bits
        self.bound_N = np.zeros(count, dtype=np.int64)  # bit n: name n is bound
        self.name_N = np.zeros(count, dtype=np.int64)  # the name that a `let` or `get` is about
        self.digit_N = np.zeros(count, dtype=np.int64)  # a, then (a + b) mod 10
        self.value_NK = np.zeros((count, self.grammar.names), dtype=np.int64)

    def copies(self, count: int) -> _Walk:
        """As many walks from where this one, of a single document, stands; nothing said yet."""
        walk = _Walk(self.source, count)
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                setattr(walk, name, np.repeat(value, count, axis=0))
        walk.information_N[:] = 0
        return walk

    def step(self, kind_draw_N: NDArray[np.int64], draw_N: NDArray[np.int64]) -> NDArray[np.int64]:
        """The next token of each document, int64 [N]."""
        kind_N = self._kinds(kind_draw_N)
        token_N = np.empty(len(kind_N), dtype=np.int64)
        self.forced_N[:] = WORD
        for kind, act in enumerate(_ACTS):
            (at,) = (kind_N == kind).nonzero()
            if len(at):
                token_N[at] = act(self, at, draw_N[at])
        return token_N

    def _kinds(self, draw_N: NDArray[np.int64]) -> NDArray[np.int8]:
        """What each document does next: what is forced, else what the draw chooses."""
        kind_N = self.forced_N.copy()
        (text,) = (kind_N == 0).nonzero()
        row = 2 * self.depth_N[text] + (self.bound_N[text] != 0)
        kind_N[text] = chosen = self.source.kind_of_draw[row, draw_N[text] >> 8]
        self.information_N[text] += self.source.kind_nats[row, chosen]
        return kind_N

    def _pick(self, at: NDArray[np.int64], draw: NDArray[np.int64], choices: int) -> NDArray[np.int64]:
        picked = draw * choices >> 16
        self.information_N[at] += self.source.pick_nats[choices, picked]
        return picked

    def _word(self, at: NDArray[np.int64], draw: NDArray[np.int64]) -> NDArray[np.int64]:
        last = self.last_word_N[at]
        word = self.source.word_of_draw[last, draw >> 4]
        self.information_N[at] += self.source.word_nats[last, word]
        self.last_word_N[at] = word
        return self.grammar.word + word.astype(np.int64)

    def _let(self, at: NDArray[np.int64], draw: NDArray[np.int64]) -> NDArray[np.int64]:
        self.forced_N[at] = BIND
        return np.full(len(at), LET)

    def _get(self, at: NDArray[np.int64], draw: NDArray[np.int64]) -> NDArray[np.int64]:
        self.forced_N[at] = USE
        return np.full(len(at), GET)

    def _open(self, at: NDArray[np.int64], draw: NDArray[np.int64]) -> NDArray[np.int64]:
        bracket = self._pick(at, draw, self.grammar.brackets)
        self.stack_N[at] = self.stack_N[at] << STACK_BITS | bracket
        self.depth_N[at] += 1
        return OPEN + bracket

    def _close(self, at: NDArray[np.int64], draw: NDArray[np.int64]) -> NDArray[np.int64]:
        bracket = self.stack_N[at] & (2**STACK_BITS - 1)
        self.stack_N[at] >>= STACK_BITS
        self.depth_N[at] -= 1
        return self.grammar.close + bracket

    def _bind(self, at: NDArray[np.int64], draw: NDArray[np.int64]) -> NDArray[np.int64]:
        self.name_N[at] = name = self._pick(at, draw, self.grammar.names)
        self.bound_N[at] |= 1 << name
        self.forced_N[at] = FIRST
        return self.grammar.name + name

    def _first(self, at: NDArray[np.int64], draw: NDArray[np.int64]) -> NDArray[np.int64]:
        self.digit_N[at] = digit = self._pick(at, draw, DIGITS)
        self.forced_N[at] = SECOND
        return self.grammar.digit + digit

    def _second(self, at: NDArray[np.int64], draw: NDArray[np.int64]) -> NDArray[np.int64]:
        digit = self._pick(at, draw, DIGITS)
        self.digit_N[at] = (self.digit_N[at] + digit) % DIGITS
        self.forced_N[at] = SUM
        return self.grammar.digit + digit

    def _sum(self, at: NDArray[np.int64], draw: NDArray[np.int64]) -> NDArray[np.int64]:
        self.value_NK[at, self.name_N[at]] = self.digit_N[at]
        return self.grammar.digit + self.digit_N[at]

    def _use(self, at: NDArray[np.int64], draw: NDArray[np.int64]) -> NDArray[np.int64]:
        bound = self.bound_N[at]
        choices = self.source.bound_count[bound]
        picked = draw * choices >> 16
        self.information_N[at] += self.source.pick_nats[choices, picked]
        self.name_N[at] = name = self.source.bound_name[bound, picked]
        self.forced_N[at] = VALUE
        return self.grammar.name + name

    def _value(self, at: NDArray[np.int64], draw: NDArray[np.int64]) -> NDArray[np.int64]:
        return self.grammar.digit + self.value_NK[at, self.name_N[at]]


_ACTS = (
    _Walk._word,
    _Walk._let,
    _Walk._get,
    _Walk._open,
    _Walk._close,
    _Walk._bind,
    _Walk._first,
    _Walk._second,
    _Walk._sum,
    _Walk._use,
    _Walk._value,
)
"""What each kind does to the documents `at`, in the order of the kinds: returns their tokens."""
