"""Prompts are read elsewhere while rows are decoded here; the other end is under the hand of the test."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from oildrop.workloads.lm_generate.ahead import AheadBatcher
from oildrop.workloads.lm_generate.batcher import Batcher, Waiting
from oildrop.workloads.lm_generate.disaggregated import Read
from oildrop.workloads.lm_generate.sampling import Greedy
from oildrop.workloads.served_protocols import Emission


class Pair:
    """Its next token is the sum of the row's tokens, modulo 50; a group of prompts comes when `ready` says so."""

    def __init__(self) -> None:
        self.rows: dict[int, list[int]] = {}
        self.out: deque[list[Any]] = deque()
        self.ready = 0
        self.most_out = 0

    def send_ahead(self, prompts: Sequence[Any]) -> None:
        self.out.append(list(prompts))
        self.most_out = max(self.most_out, len(self.out))

    def has_come(self) -> bool:
        return self.ready > 0

    def put_next(self, slots_B: Any) -> Read:
        self.ready = max(self.ready - 1, 0)
        for slot, prompt in zip(slots_B.tolist(), self.out.popleft(), strict=True):
            self.rows[slot] = prompt.tolist()
        return Read(self.logits_of(slots_B), spent_ns=7)

    def prefill(self, slots_B: Any, prompts: Sequence[Any]) -> Read:
        self.send_ahead(prompts)
        return self.put_next(slots_B)

    def decode(self, slots_B: Any, tokens_B: Any, positions_B: Any) -> Any:
        for slot, token, position in zip(slots_B.tolist(), tokens_B.tolist(), positions_B.tolist(), strict=True):
            assert position == len(self.rows[slot])
            self.rows[slot].append(token)
        return self.logits_of(slots_B)

    def logits_of(self, slots_B: Any) -> Any:
        return np.eye(50, dtype=np.float32)[[sum(self.rows[slot]) % 50 for slot in slots_B.tolist()]]

    def greedy(self, handle: Any) -> Any:
        logits = handle.logits_BV if isinstance(handle, Read) else handle
        return logits.argmax(axis=-1).astype(np.int32)


def waiting(count: int) -> list[Waiting]:
    return [
        Waiting(index=i, prompt=np.arange(1 + i % 4, dtype=np.int32) + i, output_tokens=1 + i % 6) for i in range(count)
    ]


def said(batcher: Batcher, pair: Pair | None = None, pattern: Sequence[int] = (0,)) -> dict[int, list[int]]:
    answers: dict[int, list[int]] = {}
    step = 0
    while True:
        if pair is not None:
            pair.ready += pattern[step % len(pattern)]
            pair.ready = min(pair.ready, len(pair.out))
        emissions = batcher.step()
        step += 1
        if not emissions:
            return answers
        for emission in emissions:
            answers.setdefault(emission.index, []).extend(emission.tokens)


@pytest.mark.parametrize("pattern", [(0,), (1,), (0, 0, 1), (1, 0, 0, 0, 0)])
def test_whenever_prompts_come_the_answers_are_the_same(pattern: Sequence[int]) -> None:
    alone, pair = Batcher(Pair(), Greedy(), 3, 2), Pair()  # type: ignore[arg-type]
    ahead = AheadBatcher(pair, Greedy(), 3, 2)  # type: ignore[arg-type]
    for batcher in (alone, ahead):
        batcher.admit(waiting(40))
    expected = said(alone)
    assert len(expected) == 40 and {len(tokens) for tokens in expected.values()} == set(range(1, 7))
    assert said(ahead, pair, pattern) == expected
    assert pair.most_out <= 2 and not pair.out


def steps(batcher: Batcher, count: int) -> list[list[tuple[int, bool]]]:
    def short(emissions: list[Emission]) -> list[tuple[int, bool]]:
        return [(emission.index, emission.done) for emission in emissions]

    return [short(batcher.step()) for _ in range(count)]


def test_rows_are_decoded_while_prompts_are_read_elsewhere() -> None:
    pair = Pair()
    batcher = AheadBatcher(pair, Greedy(), 2, 1)  # type: ignore[arg-type]
    prompt = np.arange(3, dtype=np.int32)
    batcher.admit([Waiting(index=i, prompt=prompt, output_tokens=4) for i in range(2)])
    # Both are out at once; nothing can be decoded until the first comes, which is waited for.
    assert steps(batcher, 3) == [[(0, False)]] * 3
    assert len(pair.out) == 1
    pair.ready = 1
    assert steps(batcher, 3) == [[(1, False)], [(0, True), (1, False)], [(1, False)]]
    assert steps(batcher, 2) == [[(1, True)], []]


def test_the_stopwatch_has_the_other_ends_time() -> None:
    pair = Pair()
    batcher = AheadBatcher(pair, Greedy(), 2, 1)  # type: ignore[arg-type]
    batcher.admit(waiting(5))
    said(batcher)
    spent = batcher.stopwatch.read()
    assert (spent.prefill_steps, spent.prefill_ns, spent.prefill_tokens) == (5, 35, 1 + 2 + 3 + 4 + 1)
    assert spent.decode_tokens == 0 + 1 + 2 + 3 + 4
