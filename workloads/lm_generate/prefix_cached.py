"""A generator that keeps what it has read: a prompt that begins as one before it is read on from there.

Keys and values of prompts are kept on the device, apart from the rows that answer: as many prompts as there are rows,
and `LEAST_KEPT` at least; the one that was of use longest ago goes first. Beginnings are found by their tokens, in
whole blocks. At least the last token of a prompt is read, since its logits are asked for. Batching, gates and quality
know nothing of it.

Shape suffixes: B requests of one call, T positions, V vocabulary.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.errors import Unsupported
from oildrop.workloads.engine import Weights
from oildrop.workloads.generator import CacheRow, Generator, Tokens
from oildrop.workloads.lm_generate.shapes import positions_of, prompt_buckets
from oildrop.workloads.protocols import Settings
from oildrop.workloads.served_protocols import PromptTokens

BLOCK = 16
"""Tokens by which beginnings are told apart: as many as in a block of vLLM's cache, so that the same prompts hit."""

LEAST_KEPT = 16
"""Prompts that are kept however few rows there are: more than documents in the gates, so that these are found again."""


@runtime_checkable
class RowKeeper(Generator, Protocol):
    """A generator whose rows can be copied on the device."""

    def keep(self, slot: int, length: int) -> Any:
        """A copy of what row `slot` holds of its first `length` positions; good until the weights change."""

    def give(self, slot: int, kept: Any, length: int) -> None:
        """Give row `slot` the first `length` positions of a copy."""


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """A copy of a row, and the beginnings of its prompt by which it is found."""

    row: Any
    beginnings: tuple[bytes, ...]


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """What several calls brought, on the host: a handle is good until the next call only."""

    logits_BV: NDArray[np.float32]
    greedy_B: Tokens


class PrefixCached:
    """The `Generator` around one whose rows can be copied.

    Attributes:
        read: Prompt tokens so far, and those of them that were found.
    """

    def __init__(self, inner: RowKeeper, settings: Settings) -> None:
        self._inner, self._settings = inner, settings
        slots, at_once = (int(settings[f"execution.{key}"]) for key in ("slots", "prefill_requests"))
        self._most, self._at_once = max(slots, LEAST_KEPT), min(slots, at_once)
        self.forget()

    def build(self) -> None:
        """As inside, and once what reads on from a beginning, of every length that is padded to."""
        self._inner.build()
        room = positions_of(self._settings) - BLOCK
        for length in dict.fromkeys(min(bucket, room) for bucket in prompt_buckets(room + BLOCK) if room > 0):
            for count in {1, self._at_once}:
                rows_B, rest = np.arange(count, dtype=np.int32), np.zeros(length, dtype=np.int32)
                self._inner.prefill(rows_B, [np.zeros(BLOCK, dtype=np.int32)] * count)
                self._inner.give(0, self._inner.keep(0, BLOCK), BLOCK)
                self._inner.greedy(self._inner.prefill(rows_B, [rest] * count, BLOCK))

    def set_weights(self, weights: Weights) -> None:
        """What was kept came from others."""
        self.forget()
        self._inner.set_weights(weights)

    def forget(self) -> None:
        """Nothing is kept, nothing was read."""
        self._kept: OrderedDict[int, _Kept] = OrderedDict()  # The one that was of use last stands last.
        self._number_of: dict[bytes, int] = {}
        self._next = 0
        self.read = PromptTokens()

    def prefill(self, slots_B: Tokens, prompts: Sequence[Tokens], start: int = 0) -> Any:
        """Prompts that go on from beginnings of one length are read together; behind `start` nothing is kept."""
        if start:
            return self._inner.prefill(slots_B, prompts, start)
        found_B = [self._find(prompt) for prompt in prompts]
        lengths_B = np.array([length for _, length in found_B])
        for slot, (kept, length) in zip(slots_B.tolist(), found_B, strict=True):
            if kept is not None:
                self._inner.give(slot, kept.row, length)
        groups = [np.flatnonzero(lengths_B == length) for length in dict.fromkeys(lengths_B.tolist())]
        if len(groups) == 1:
            handle = self._read_on(slots_B, prompts, groups[0], int(lengths_B[0]))
        else:
            handle = self._in_parts(slots_B, prompts, groups, lengths_B)
        for slot, prompt in zip(slots_B.tolist(), prompts, strict=True):
            self._keep(slot, prompt)
        self.read = self.read.and_more(sum(map(len, prompts)), int(lengths_B.sum()))
        return handle

    def decode(self, slots_B: Tokens, tokens_B: Tokens, positions_B: Tokens) -> Any:
        """As inside."""
        return self._inner.decode(slots_B, tokens_B, positions_B)

    def extend(self, slots_B: Tokens, tokens: Sequence[Tokens], positions_B: Tokens) -> Any:
        """As inside."""
        return self._inner.extend(slots_B, tokens, positions_B)

    def greedy(self, handle: Any) -> Tokens:
        """As inside."""
        return handle.greedy_B if isinstance(handle, _Parts) else self._inner.greedy(handle)

    def logits(self, handle: Any) -> NDArray[np.float32]:
        """As inside."""
        return handle.logits_BV if isinstance(handle, _Parts) else self._inner.logits(handle)

    def prompt_logits(self, tokens_BT: Tokens) -> NDArray[np.float32]:
        """As inside: nothing is kept of these prompts."""
        return self._inner.prompt_logits(tokens_BT)

    def cache_of(self, slot: int, length: int) -> CacheRow:
        """As inside."""
        return self._inner.cache_of(slot, length)

    def put_cache(self, slot: int, cache: CacheRow) -> None:
        """As inside."""
        self._inner.put_cache(slot, cache)

    def _read_on(self, slots_B: Tokens, prompts: Sequence[Tokens], rows_B: NDArray[np.int64], length: int) -> Any:
        """The handle of some of the prompts, whose rows hold their first `length` tokens."""
        return self._inner.prefill(slots_B[rows_B], [prompts[row][length:] for row in rows_B.tolist()], length)

    def _in_parts(
        self, slots_B: Tokens, prompts: Sequence[Tokens], groups: list[NDArray[np.int64]], lengths_B: NDArray[np.int64]
    ) -> _Parts:
        logits, greedy = [], []
        for rows_B in groups:
            handle = self._read_on(slots_B, prompts, rows_B, int(lengths_B[rows_B[0]]))
            logits.append(self._inner.logits(handle))
            greedy.append(self._inner.greedy(handle))
        order_B = np.argsort(np.concatenate(groups))
        return _Parts(logits_BV=np.concatenate(logits)[order_B], greedy_B=np.concatenate(greedy)[order_B])

    def _find(self, prompt: Tokens) -> tuple[_Kept | None, int]:
        """The copy with the longest beginning of `prompt` but its last token, and how long that is."""
        for length, beginning in _beginnings(prompt[:-1]):
            number = self._number_of.get(beginning)
            if number is not None:
                self._kept.move_to_end(number)
                return self._kept[number], length
        return None, 0

    def _keep(self, slot: int, prompt: Tokens) -> None:
        """Copy the row of a prompt of which a longer beginning is not yet there."""
        beginnings = list(_beginnings(prompt))
        if not beginnings or beginnings[0][1] in self._number_of:
            return
        new = tuple(beginning for _, beginning in beginnings if beginning not in self._number_of)
        self._kept[self._next] = _Kept(row=self._inner.keep(slot, beginnings[0][0]), beginnings=new)
        self._number_of |= dict.fromkeys(new, self._next)
        self._next += 1
        if len(self._kept) > self._most:
            _, oldest = self._kept.popitem(last=False)
            for beginning in oldest.beginnings:
                del self._number_of[beginning]


def _beginnings(prompt: Tokens) -> Iterator[tuple[int, bytes]]:
    """Whole blocks from the first token on, the longest first: how many tokens, and the tokens themselves."""
    for length in range(len(prompt) // BLOCK * BLOCK, 0, -BLOCK):
        yield length, prompt[:length].tobytes()


def prefix_cached(generator: Generator, settings: Settings) -> Generator:
    """`generator` as `execution.prefix_cache` says.

    Raises:
        Unsupported: Its rows cannot be copied.
    """
    if settings["execution.prefix_cache"] == "off":
        return generator
    if not isinstance(generator, RowKeeper):
        raise Unsupported(
            "execution.prefix_cache = on: prompts are read elsewhere or behind other tokens; set it to off, or "
            "execution.transfer to none and requests.depth_tokens to 0"
        )
    return PrefixCached(generator, settings)
