"""Prefill in one process, decode in another: two generators that look like one.

Prompts are read by a generator at the other end of a link; what its cache holds of them is sent over and put into the
rows of the generator here, which decodes. Gates and quality ask the pair the same as they ask one.

Shape suffixes: B requests of one call, T positions, V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.errors import OildropError, Unsupported
from oildrop.workloads.engine import Weights
from oildrop.workloads.generator import Generator, Tokens
from oildrop.workloads.link import Link, LinkLost
from oildrop.workloads.protocols import Settings, Transfers


@dataclass(frozen=True)
class _Read:
    """Logits [B, V] that came with the caches, on the host."""

    logits_BV: NDArray[np.float32]


class Disaggregated:
    """The `Generator` of a pair: `decoder` here, another of the same settings behind `link`.

    Attributes:
        transfers: What was sent over so far. Its time goes from the moment that the prompt's cache is on the sender's
            host to the moment that it stands in the decoder's device.
    """

    def __init__(self, decoder: Generator, link: Link, settings: Settings) -> None:
        self._decoder, self._link, self._settings = decoder, link, settings
        self.transfers = Transfers()

    def build(self) -> None:
        """Both, one after the other, so that neither takes the other's processors."""
        self._decoder.build()
        self._number: int = self._asked("make", dict(self._settings))

    def set_weights(self, weights: Weights) -> None:
        """The same for both."""
        self._decoder.set_weights(weights)
        self._asked("set_weights", self._number, dict(weights))

    def prefill(self, slots_B: Tokens, prompts: Sequence[Tokens]) -> _Read:
        """Read there, kept here."""
        logits_BV: NDArray[np.float32] = self._asked("prefill", self._number, list(prompts))
        for slot, (began_ns, cache) in zip(slots_B.tolist(), self._link.caches(), strict=True):
            self._decoder.put_cache(slot, cache)
            self.transfers = self.transfers.and_one(time.monotonic_ns() - began_ns, cache.nbytes)
        return _Read(logits_BV)

    def decode(self, slots_B: Tokens, tokens_B: Tokens, positions_B: Tokens) -> Any:
        """Here."""
        return self._decoder.decode(slots_B, tokens_B, positions_B)

    def extend(self, slots_B: Tokens, tokens: Sequence[Tokens], positions_B: Tokens) -> Any:
        """Here."""
        return self._decoder.extend(slots_B, tokens, positions_B)

    def greedy(self, handle: Any) -> Tokens:
        """Of a prompt on the host, of a step on the device."""
        if isinstance(handle, _Read):
            return handle.logits_BV.argmax(axis=-1).astype(np.int32)
        return self._decoder.greedy(handle)

    def logits(self, handle: Any) -> NDArray[np.float32]:
        """From whoever worked them out."""
        return handle.logits_BV if isinstance(handle, _Read) else self._decoder.logits(handle)

    def prompt_logits(self, tokens_BT: Tokens) -> NDArray[np.float32]:
        """There, where prompts are read."""
        logits_BTV: NDArray[np.float32] = self._asked("prompt_logits", self._number, tokens_BT)
        return logits_BTV

    def cache_of(self, slot: int, length: int) -> Any:
        """Of the decoder."""
        return self._decoder.cache_of(slot, length)

    def put_cache(self, slot: int, cache: Any) -> None:
        """Into the decoder."""
        self._decoder.put_cache(slot, cache)

    def _asked(self, *question: Any) -> Any:
        """The answer of the other end. Raises what it raised."""
        self._link.say(*question)
        return answered(self._link.hear())


def answered(answer: tuple[Any, ...]) -> Any:
    """What an answer holds. Raises Unsupported or OildropError where the other end did."""
    kind, value = answer
    if kind == "unsupported":
        raise Unsupported(f"prefill: {value}")
    if kind == "failed":
        raise OildropError(f"prefill: {value}")
    return value


def answer(link: Link, make: Callable[[Settings], Generator]) -> None:
    """Be the other end: do what is asked until nobody asks any more.

    Args:
        make: An unbuilt generator of the settings.
    """
    reader = _Reader(make)
    while True:
        try:
            name, *arguments = link.hear()
        except LinkLost:
            return
        try:
            value, caches = getattr(reader, name)(*arguments)
        except Unsupported as error:
            link.say("unsupported", str(error))
        except Exception as error:
            link.say("failed", f"{type(error).__name__}: {error}")
        else:
            link.say("done", value)
            if caches:
                link.send_caches(caches)


class _Reader:
    """What may be asked of the end that reads prompts; each method returns its answer and the caches to send."""

    def __init__(self, make: Callable[[Settings], Generator]) -> None:
        self._make = make
        self._made: list[Generator] = []

    def make(self, settings: Settings) -> tuple[int, list[Any]]:
        """Build a generator; its number."""
        generator = self._make(settings)
        generator.build()
        self._made.append(generator)
        return len(self._made) - 1, []

    def set_weights(self, number: int, weights: Weights) -> tuple[None, list[Any]]:
        """Give them to generator `number`."""
        self._made[number].set_weights(weights)
        return None, []

    def prefill(self, number: int, prompts: list[Tokens]) -> tuple[NDArray[np.float32], list[Any]]:
        """Logits after each prompt, and what the cache holds of each."""
        generator = self._made[number]
        slots_B = np.arange(len(prompts), dtype=np.int32)
        logits_BV = generator.logits(generator.prefill(slots_B, prompts))
        return logits_BV, [generator.cache_of(slot, len(prompt)) for slot, prompt in enumerate(prompts)]

    def prompt_logits(self, number: int, tokens_BT: Tokens) -> tuple[NDArray[np.float32], list[Any]]:
        """Logits after every token."""
        return self._made[number].prompt_logits(tokens_BT), []
