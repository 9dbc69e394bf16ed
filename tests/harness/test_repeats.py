"""Which prompts are asked again beside which new ones, and what is timed of it; a clock that only work moves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from oildrop.harness.null_serve import NullServe
from oildrop.harness.repeats import CANDIDATES, is_probed, look_for_cache, pairs_of
from oildrop.workloads.served_protocols import Emission, RequestSize

MS = 1_000_000


def size(input_tokens: int, output_tokens: int = 1) -> RequestSize:
    return RequestSize(input_tokens=input_tokens, output_tokens=output_tokens)


class Clocked(NullServe):
    """A prompt costs a millisecond a token the first time, `again_ms` whenever it comes again; a token costs one."""

    def __init__(self, again_ms: float | None = None) -> None:
        super().__init__()
        self.again_ms = again_ms
        self.now_ns = 0
        self.asked: list[int] = []
        self.left: list[tuple[int, int]] = []

    def clock(self) -> int:
        return self.now_ns

    def size(self, index: int) -> RequestSize:
        return size(5 + index % 7, 2 + index % 3)

    def admit(self, indices: list[int]) -> None:
        self.left += [(index, self.size(index).output_tokens) for index in indices]

    def step(self) -> list[Emission]:
        index, tokens = self.left.pop()
        if tokens == self.size(index).output_tokens:
            known = self.again_ms is not None and index in self.asked
            self.now_ns += round(MS * (self.again_ms if known and self.again_ms else self.size(index).input_tokens))
            self.asked.append(index)
        self.now_ns += MS
        if tokens > 1:
            self.left.append((index, tokens - 1))
        return [Emission(index=index, tokens=(0,), done=tokens == 1)]


def test_pairs_have_prompts_of_one_length_the_longest_first_and_no_request_twice() -> None:
    sizes = {index: size(8 + index * 7 % 25, index % 9) for index in range(200)}
    pairs = pairs_of(sizes, seed=3)
    assert len(pairs) > 40
    assert all(sizes[pair.new].input_tokens == sizes[pair.repeated].input_tokens for pair in pairs)
    lengths = [sizes[pair.new].input_tokens for pair in pairs]
    assert lengths == sorted(lengths, reverse=True)
    used = [index for pair in pairs for index in (pair.new, pair.repeated)]
    assert len(set(used)) == len(used)
    assert max(sizes[index].output_tokens for index in used) == 4  # the median
    assert 0.3 < sum(pair.new_first for pair in pairs) / len(pairs) < 0.7
    assert [pair.new_first for pair in pairs_of(sizes, 4)] != [pair.new_first for pair in pairs]


def test_an_engine_without_a_cache_takes_as_long_again() -> None:
    task = Clocked()
    found = look_for_cache(task, 100, 7, 60.0, task.clock)
    assert found.new_ns == found.repeated_ns == [(tokens + 1) * MS for tokens in found.input_tokens]
    assert len(found.new_ns) == 24 and found.failed == 0
    assert min(task.asked) >= 100 and max(task.asked) <= 100 + CANDIDATES
    assert sorted(task.asked.count(index) for index in set(task.asked))[-1] == 2
    assert len(task.asked) == 1 + 3 * 24


def test_a_cache_shows_in_every_pair() -> None:
    task = Clocked(again_ms=0.5)
    found = look_for_cache(task, 0, 7, 60.0, task.clock)
    assert set(found.repeated_ns) == {3 * MS // 2}
    assert found.new_ns == [(tokens + 1) * MS for tokens in found.input_tokens]


@pytest.mark.parametrize(
    ("slower", "limit_s", "pairs"), [(1, 60.0, 24), (20, 60.0, 10), (20, 8.5, 10), (20, 7.7, 1), (200, 60.0, 1)]
)
def test_time_is_bounded_and_ten_pairs_are_enough_after_two_seconds(slower: int, limit_s: float, pairs: int) -> None:
    """A pair (11 tokens, two or three of answer) takes 3 x 13 or 14 ms, or twenty times that: ten 7.8 to 8.4 s.

    Where ten do not fit, one has shown it and no more are asked.
    """
    task = Clocked()
    found = look_for_cache(task, 0, 7, limit_s, lambda: task.now_ns * slower)
    assert len(found.new_ns) == pairs


@pytest.mark.parametrize(
    ("kind", "settings", "probed"),
    [
        ("serve", {"requests.prompts": "unique"}, True),
        ("probe", {"requests.prompts": "unique"}, False),
        ("serve", {"requests.prompts": "repeated"}, False),
        ("serve", {"requests.prompts": "unique", "execution.prefix_cache": "on"}, False),
        ("serve", {"requests.prompts": "unique", "endpoint.prefix_cache": "on"}, False),
        ("serve", {"requests.prompts": "unique", "endpoint.prefix_cache": "off"}, True),
    ],
)
def test_a_cache_is_looked_for_where_none_is_declared(kind: str, settings: dict[str, Any], probed: bool) -> None:
    spec: Any = SimpleNamespace(kind=kind, settings=settings)
    assert is_probed(spec) is probed
