"""The end of a pair that reads prompts: does what the end that decodes asks, in order, until it has gone.

Shape suffixes: B requests of one call, T positions, V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.errors import Unsupported, UsageError
from oildrop.workloads.generator import Generator
from oildrop.workloads.link import Link, LinkLost, Message
from oildrop.workloads.protocols import Settings

Arrays = Sequence[NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class _Answer:
    values: Mapping[str, Any] = field(default_factory=dict)
    arrays: Arrays = ()
    caches: Arrays = ()


def answer(link: Link, make: Callable[[Settings], Generator]) -> None:
    """Be the end that reads.

    Args:
        make: An unbuilt generator of the settings.
    """
    reader = _Reader(make)
    while True:
        try:
            asked = link.receive()
            number = asked.values.get("number")
            try:
                found = reader.answer(asked)
            except (Unsupported, UsageError) as error:
                link.send("unsupported", {"number": number, "reason": str(error)})
            except Exception as error:
                link.send("failed", {"number": number, "reason": f"{type(error).__name__}: {error}"})
            else:
                link.send("done", {**found.values, "number": number}, found.arrays, found.caches)
        except LinkLost:
            return


class _Reader:
    """What may be asked of the end that reads prompts."""

    def __init__(self, make: Callable[[Settings], Generator]) -> None:
        self._make = make
        self._made: list[Generator] = []
        self._known: dict[str, Callable[[Message], _Answer]] = {
            "make": self._built,
            "set_weights": self._set_weights,
            "prefill": self._prefill,
            "prompt_logits": self._prompt_logits,
            "time": lambda asked: _Answer(values={"now_ns": time.monotonic_ns()}),
        }

    def answer(self, asked: Message) -> _Answer:
        """Do it. Raises KeyError for what is not known, and whatever the generator does."""
        return self._known[asked.kind](asked)

    def _built(self, asked: Message) -> _Answer:
        generator = self._make(asked.values["settings"])
        generator.build()
        self._made.append(generator)
        return _Answer(values={"generator": len(self._made) - 1})

    def _set_weights(self, asked: Message) -> _Answer:
        self._asked(asked).set_weights(dict(zip(asked.values["names"], asked.arrays, strict=True)))
        return _Answer()

    def _prefill(self, asked: Message) -> _Answer:
        """Logits after each prompt, what the cache holds of each, and the time that it took."""
        began_ns = time.monotonic_ns()
        generator, prompts = self._asked(asked), asked.arrays
        slots_B = np.arange(len(prompts), dtype=np.int32)
        logits_BV = generator.logits(generator.prefill(slots_B, prompts))
        caches = [generator.cache_of(slot, len(prompt)) for slot, prompt in enumerate(prompts)]
        return _Answer(values={"spent_ns": time.monotonic_ns() - began_ns}, arrays=[logits_BV], caches=caches)

    def _prompt_logits(self, asked: Message) -> _Answer:
        return _Answer(arrays=[self._asked(asked).prompt_logits(asked.arrays[0])])

    def _asked(self, asked: Message) -> Generator:
        return self._made[asked.values["generator"]]
