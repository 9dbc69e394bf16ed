"""What is asked: the stream of requests of a seed, from integers alone.

Request i's prompt is the beginning of document i of part `serve` of the language, its start token included. Two
prompts that came out equal would let an answer come from a cache, so the later one is drawn again, from document i of
part `serve/1`, and so on. Where rows hold `requests.depth_tokens` before any prompt, a prompt is what follows them in a
document that begins with them; they are counted nowhere. Prompts that share a beginning (`shared_beginnings.py`) are
longer than it by `requests.prompt_tokens_min` at least, so that no two need be equal.

Shape suffixes: N requests of a block, L tokens of the longest prompt.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.errors import UsageError
from oildrop.workloads.integers import WORDS_PER_BLOCK, raw_words
from oildrop.workloads.lm_generate.shared_beginnings import shared_tokens
from oildrop.workloads.lm_pretrain.source import Source
from oildrop.workloads.protocols import Settings
from oildrop.workloads.served_protocols import RequestSize

BLOCK_REQUESTS = 1024
"""Prompts made at once: enough that the generator's cost a call is spread thin."""

MOST_DRAWS = 64
"""Draws of one prompt before its language is called too small."""


class Requests:
    """The requests of one seed, made a block at a time and kept.

    Args:
        source: The language, as `source_of` makes it of the same settings.
        seed: The run's.

    Attributes:
        own_from: Place of the first token of a prompt that is its own: before it stand the start token, or what it
            shares with others.
    """

    def __init__(self, settings: Settings, source: Source, seed: int) -> None:
        self._source, self._seed = source, seed
        self._depth = int(settings["requests.depth_tokens"])
        self._repeated = settings["requests.prompts"] == "repeated"
        shared = shared_tokens(settings)
        self.own_from = max(shared, 1)
        least, most = _range(settings, "prompt")
        self._prompt_range = shared + least, most
        self._output_range = _range(settings, "output")
        self._sizes: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        self._prompts: list[NDArray[np.int32]] = []
        self._source_nats: list[float] = []
        self._seen: set[bytes] = set()

    def size(self, index: int) -> RequestSize:
        """Tokens of prompt (start token included) and answer of request `index`."""
        prompt_N, _ = self._block_sizes(0 if self._repeated else index // BLOCK_REQUESTS)
        _, output_N = self._block_sizes(index // BLOCK_REQUESTS)
        place = index % BLOCK_REQUESTS
        return RequestSize(
            input_tokens=int(prompt_N[0 if self._repeated else place]), output_tokens=int(output_N[place])
        )

    def prompt(self, index: int) -> NDArray[np.int32]:
        """Tokens of the prompt, int32, the start token first.

        Raises:
            UsageError: The language has too few prompts of this length.
        """
        return self._prompts[self._made(index)]

    def held(self) -> NDArray[np.int32]:
        """What every row holds before any prompt, int32."""
        return self._source.held_tokens(self._seed, self._depth) if self._depth else np.zeros(0, dtype=np.int32)

    def source_nats(self, index: int) -> float:
        """The source's own -ln p of the prompt from `own_from` on, in nats."""
        return self._source_nats[self._made(index)]

    def prepare(self, count: int) -> None:
        """Make the first `count` requests now, so that none is made while a clock runs."""
        self._made(count - 1)

    def _made(self, index: int) -> int:
        wanted = 0 if self._repeated else index
        while wanted >= len(self._prompts):
            self._make_block(len(self._prompts) // BLOCK_REQUESTS)
        return wanted

    def _make_block(self, block: int) -> None:
        first, longest = block * BLOCK_REQUESTS, self._prompt_range[1]
        tokens_NL, information_NL = self._source.prefixes(
            self._seed, first, BLOCK_REQUESTS, longest, "serve", self._depth
        )
        for place, length in enumerate(self._block_sizes(block)[0].tolist()):
            tokens_L, information_L = tokens_NL[place], information_NL[place]
            draws = 0
            while tokens_L[:length].tobytes() in self._seen:
                draws += 1
                if draws == MOST_DRAWS:
                    raise UsageError(
                        f"request {first + place}: {MOST_DRAWS} prompts of {length} tokens were asked before; set a "
                        "larger requests.prompt_tokens_min"
                    )
                [tokens_L], [information_L] = self._source.prefixes(
                    self._seed, first + place, 1, length, f"serve/{draws}", self._depth
                )
            prompt_L = tokens_L[:length].copy()
            self._seen.add(prompt_L.tobytes())
            self._prompts.append(prompt_L)
            self._source_nats.append(float(information_L[length - 1] - information_L[self.own_from - 1]))

    def _block_sizes(self, block: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Lengths of the prompts and answers of one block, int64 [N] each."""
        if block not in self._sizes:
            words = raw_words(
                self._seed,
                "requests/sizes",
                first_block=block * BLOCK_REQUESTS,
                count=BLOCK_REQUESTS * WORDS_PER_BLOCK,
            ).reshape(BLOCK_REQUESTS, WORDS_PER_BLOCK)
            self._sizes[block] = _among(words[:, 0], self._prompt_range), _among(words[:, 1], self._output_range)
        return self._sizes[block]


def _range(settings: Settings, what: str) -> tuple[int, int]:
    return int(settings[f"requests.{what}_tokens_min"]), int(settings[f"requests.{what}_tokens_max"])


def _among(words: NDArray[np.uint64], bounds: tuple[int, int]) -> NDArray[np.int64]:
    """A whole number from the first to the last bound for each word, by its upper 32 bits."""
    low, high = bounds
    return low + ((words >> np.uint64(32)).astype(np.int64) * (high - low + 1) >> 32)
