"""Prefill in one process, decode in another: two generators that look like one.

Prompts are read by a generator at the other end of a link; what its cache holds of them is sent over and put into the
rows of the generator here, which decodes. Prompts may be sent ahead, and are read there while rows are decoded here.
Gates and quality ask the pair the same as they ask one.

Shape suffixes: B requests of one call, T positions, V vocabulary.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.errors import OildropError, Unsupported
from oildrop.workloads.engine import Weights
from oildrop.workloads.generator import Generator, Tokens
from oildrop.workloads.link import Mailbox, Message
from oildrop.workloads.protocols import Settings
from oildrop.workloads.served_protocols import Transfers


@dataclass(frozen=True)
class Read:
    """Prompts whose caches are in their rows.

    Attributes:
        logits_BV: After each, on the host.
        spent_ns: What reading them took at the other end.
    """

    logits_BV: NDArray[np.float32]
    spent_ns: int


class Disaggregated:
    """The `Generator` of a pair: `decoder` here, another of the same settings behind `mail`.

    Attributes:
        transfers: What was sent over so far. Its time goes from the moment that the prompt's cache is on the sender's
            host to the moment that it stands in the decoder's device.
    """

    def __init__(self, decoder: Generator, mail: Mailbox, settings: Settings) -> None:
        self._decoder, self._mail, self._settings = decoder, mail, settings
        self._number = 0
        self._ahead: deque[int] = deque()
        self.transfers = Transfers()

    def build(self) -> None:
        """Both, one after the other, so that neither takes the other's processors."""
        self._decoder.build()
        self._there = int(self._asked("make", {"settings": dict(self._settings)}).values["generator"])

    def set_weights(self, weights: Weights) -> None:
        """The same for both."""
        self._decoder.set_weights(weights)
        self._asked("set_weights", {"generator": self._there, "names": list(weights)}, list(weights.values()))

    def prefill(self, slots_B: Tokens, prompts: Sequence[Tokens], start: int = 0) -> Read:
        """Read there, kept here, nothing else meanwhile.

        Raises:
            Unsupported: Rows hold tokens before: they are here and not there.
        """
        if start:
            raise Unsupported("execution.transfer: prompts are read on only where their rows are; use none")
        self.send_ahead(prompts)
        return self.put_next(slots_B)

    def send_ahead(self, prompts: Sequence[Tokens]) -> None:
        """Have prompts read there; at most `AHEAD_GROUPS` may be out."""
        self._ahead.append(self._ask("prefill", {"generator": self._there}, prompts))

    def has_come(self) -> bool:
        """Whether the oldest prompts that are out have been read and have come over."""
        return self._mail.has_mail()

    def put_next(self, slots_B: Tokens) -> Read:
        """Put the oldest prompts that are out into rows `slots_B`; waits for them."""
        come = self._answer(self._ahead.popleft())
        began_ns = come.sent_ns - self._mail.link.clock_ahead_ns
        for slot, cache in zip(slots_B.tolist(), come.beside, strict=True):
            self._decoder.put_cache(slot, cache)
            self.transfers = self.transfers.and_one(time.monotonic_ns() - began_ns, cache.nbytes)
        return Read(come.arrays[0], int(come.values["spent_ns"]))

    def decode(self, slots_B: Tokens, tokens_B: Tokens, positions_B: Tokens) -> Any:
        """Here."""
        return self._decoder.decode(slots_B, tokens_B, positions_B)

    def extend(self, slots_B: Tokens, tokens: Sequence[Tokens], positions_B: Tokens) -> Any:
        """Here."""
        return self._decoder.extend(slots_B, tokens, positions_B)

    def greedy(self, handle: Any) -> Tokens:
        """Of a prompt on the host, of a step on the device."""
        if isinstance(handle, Read):
            return handle.logits_BV.argmax(axis=-1).astype(np.int32)
        return self._decoder.greedy(handle)

    def logits(self, handle: Any) -> NDArray[np.float32]:
        """From whoever worked them out."""
        return handle.logits_BV if isinstance(handle, Read) else self._decoder.logits(handle)

    def prompt_logits(self, tokens_BT: Tokens) -> NDArray[np.float32]:
        """There, where prompts are read."""
        return self._asked("prompt_logits", {"generator": self._there}, [tokens_BT]).arrays[0]

    def cache_of(self, slot: int, length: int) -> Any:
        """Of the decoder."""
        return self._decoder.cache_of(slot, length)

    def put_cache(self, slot: int, cache: Any) -> None:
        """Into the decoder."""
        self._decoder.put_cache(slot, cache)

    def _asked(self, kind: str, values: Mapping[str, Any], arrays: Sequence[NDArray[Any]] = ()) -> Message:
        """The answer of the other end; prompts that were out are forgotten. Raises what it raised."""
        self._ahead.clear()
        return self._answer(self._ask(kind, values, arrays))

    def _ask(self, kind: str, values: Mapping[str, Any], arrays: Sequence[NDArray[Any]]) -> int:
        self._number += 1
        self._mail.link.send(kind, {**values, "number": self._number}, arrays)
        return self._number

    def _answer(self, number: int) -> Message:
        """The answer to question `number`; those to older ones, which nobody waits for any more, are passed over."""
        while True:
            come = done(self._mail.take())
            if come.values["number"] == number:
                return come


def done(message: Message) -> Message:
    """`message`, where the other end did what was asked. Raises Unsupported or OildropError where it did not."""
    if message.kind == "unsupported":
        raise Unsupported(f"prefill: {message.values['reason']}")
    if message.kind != "done":
        raise OildropError(f"prefill: {message.values.get('reason', 'it does not say why it failed')}")
    return message
