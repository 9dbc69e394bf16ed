"""Are answers from a cache? After the clock, prompts that were asked before are asked again beside new ones.

Two prompts of the same length make a pair. The first of them is asked once without a stamp, so that whatever is made
for a length is there and whatever keeps answers has it; then both are timed, one right after the other, in an order
that the seed draws. Whoever answers is alone with one request at a time.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from oildrop.harness.load.heap import quiet_heap
from oildrop.rules.formulas.repeats import LEAST_PAIRS
from oildrop.rules.prefix_cache import looks_for_cache
from oildrop.rules.records import RunSpec
from oildrop.workloads.integers import WORDS_PER_BLOCK, raw_words
from oildrop.workloads.served_protocols import RequestSize, ServeTask

CANDIDATES = 1024
"""Requests of the stream, none of them asked before, among which pairs are looked for."""

MOST_PAIRS = 24
ENOUGH_S = 2.0
"""After this time `LEAST_PAIRS` pairs are enough."""

LONGEST_S = 60.0
"""After this time nothing more is asked."""

MOST_FAILED = 3
"""After so many pairs without a token nothing more is asked."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two requests whose prompts have the same length: one is asked twice, the other once."""

    repeated: int
    new: int
    new_first: bool


@dataclass(kw_only=True)
class Repeats:
    """What came of the pairs: times from issue to first token in nanoseconds, and the tokens of their prompts."""

    new_ns: list[int] = field(default_factory=list)
    repeated_ns: list[int] = field(default_factory=list)
    input_tokens: list[int] = field(default_factory=list)
    failed: int = 0

    def add(self, pair: Pair, found_ns: Mapping[int, int | None], input_tokens: int) -> None:
        """One pair's times by request; None for a request that brought no token."""
        new_ns, repeated_ns = found_ns[pair.new], found_ns[pair.repeated]
        if new_ns is None or repeated_ns is None:
            self.failed += 1
            return
        self.new_ns.append(new_ns)
        self.repeated_ns.append(repeated_ns)
        self.input_tokens.append(input_tokens)

    def enough(self, spent_s: float, limit_s: float) -> bool:
        """Whether no more is to be asked, `spent_s` after the first request."""
        pairs, longest_s = len(self.new_ns), min(limit_s, LONGEST_S)
        if pairs >= MOST_PAIRS or self.failed >= MOST_FAILED or spent_s > longest_s:
            return True
        if pairs >= LEAST_PAIRS:
            return spent_s > ENOUGH_S
        return spent_s * LEAST_PAIRS > longest_s * pairs > 0  # At this pace the least never come.

    def meta(self) -> dict[str, Any]:
        """As the log keeps it."""
        return {
            "new_ns": self.new_ns,
            "repeated_ns": self.repeated_ns,
            "input_tokens": self.input_tokens,
            "failed": self.failed,
        }


def is_probed(spec: RunSpec) -> bool:
    """Whether a cache is looked for in this run: a search's probes are no results, and a declared one is known."""
    return spec.kind == "serve" and looks_for_cache(spec.settings)


def pairs_of(sizes: Mapping[int, RequestSize], seed: int) -> list[Pair]:
    """Pairs among these requests, those of the longest prompts first: there a cache saves most.

    Requests with long answers are left out, as nothing but their first token is looked at.
    """
    longest = median(size.output_tokens for size in sizes.values())
    alike: defaultdict[int, list[int]] = defaultdict(list)
    for index, size in sizes.items():
        if size.output_tokens <= longest:
            alike[size.input_tokens].append(index)
    words = iter(raw_words(seed, "repeats", first_block=0, count=len(sizes) * WORDS_PER_BLOCK).tolist())
    return [
        Pair(repeated=repeated, new=new, new_first=next(words) % 2 == 0)
        for _, indices in sorted(alike.items(), reverse=True)
        for repeated, new in zip(indices[::2], indices[1::2], strict=False)
    ]


def look_for_cache(
    task: ServeTask, first: int, seed: int, limit_s: float, clock: Callable[[], int] = time.monotonic_ns
) -> Repeats:
    """Ask a task that has nothing left to do, in requests from number `first` on; `limit_s` seconds at most."""
    sizes = {index: task.size(index) for index in range(first, first + CANDIDATES)}
    found = Repeats()
    with quiet_heap():
        _first_token_ns(task, first + CANDIDATES, clock)  # Prompts are made a block at a time: now they are there.
        start_ns = clock()
        for pair in pairs_of(sizes, seed):
            if found.enough((clock() - start_ns) / 1e9, limit_s):
                break
            _first_token_ns(task, pair.repeated, clock)
            order = (pair.new, pair.repeated) if pair.new_first else (pair.repeated, pair.new)
            times_ns = {index: _first_token_ns(task, index, clock) for index in order}
            found.add(pair, times_ns, sizes[pair.new].input_tokens)
    return found


def _first_token_ns(task: ServeTask, index: int, clock: Callable[[], int]) -> int | None:
    """Nanoseconds to the first token of an answer, which is awaited whole; None where it never ended."""
    start_ns, first_ns = clock(), None
    task.admit([index])
    while clock() - start_ns < LONGEST_S * 1e9:
        emissions = task.step()
        if emissions and first_ns is None:
            first_ns = clock() - start_ns
        if any(emission.done for emission in emissions):
            return first_ns
    return None
