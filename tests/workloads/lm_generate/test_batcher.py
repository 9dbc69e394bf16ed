"""Continuous batching on an engine made of counters: who is read, who is answered, and which rows they have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from oildrop.rules.errors import UsageError
from oildrop.workloads.lm_generate.batcher import Batcher, Waiting
from oildrop.workloads.lm_generate.sampling import Greedy
from oildrop.workloads.served_protocols import EngineTime


class Counting:
    """A generator whose next token is the sum of all tokens of the row, modulo 1000; it refuses misuse of its rows."""

    def __init__(self) -> None:
        self.rows: dict[int, list[int]] = {}
        self.calls: list[tuple[str, list[int]]] = []

    def prefill(self, slots_B: Any, prompts: Sequence[Any]) -> Any:
        self.calls.append(("prefill", slots_B.tolist()))
        for slot, prompt in zip(slots_B.tolist(), prompts, strict=True):
            self.rows[slot] = prompt.tolist()
        return [sum(self.rows[slot]) % 1000 for slot in slots_B.tolist()]

    def decode(self, slots_B: Any, tokens_B: Any, positions_B: Any) -> Any:
        slots = slots_B.tolist()
        self.calls.append(("decode", slots))
        assert slots == sorted(set(slots))
        assert all(array.dtype == np.int32 and array.flags.c_contiguous for array in (slots_B, tokens_B, positions_B))
        for slot, token, position in zip(slots, tokens_B.tolist(), positions_B.tolist(), strict=True):
            assert position == len(self.rows[slot])
            self.rows[slot].append(token)
        return [sum(self.rows[slot]) % 1000 for slot in slots]

    def greedy(self, handle: Any) -> Any:
        return np.array(handle, dtype=np.int32)


def waiting(index: int, prompt: list[int], output_tokens: int) -> Waiting:
    return Waiting(index=index, prompt=np.array(prompt, dtype=np.int32), output_tokens=output_tokens)


def alone(prompt: list[int], output_tokens: int) -> tuple[int, ...]:
    """The answer by hand."""
    tokens = list(prompt)
    for _ in range(output_tokens):
        tokens.append(sum(tokens) % 1000)
    return tuple(tokens[len(prompt) :])


def run(batcher: Batcher) -> dict[int, list[Any]]:
    emitted: dict[int, list[Any]] = {}
    while emissions := batcher.step():
        for emission in emissions:
            emitted.setdefault(emission.index, []).append(emission)
    return emitted


@pytest.mark.parametrize(("slots", "at_once"), [(1, 1), (2, 4), (3, 2), (16, 4)])
def test_each_answer_is_as_if_it_were_asked_alone(slots: int, at_once: int) -> None:
    requests = [waiting(i, list(range(i, i + 1 + i % 5)), 1 + i * 7 % 6) for i in range(40)]
    engine: Any = Counting()
    batcher = Batcher(engine, Greedy(), slots, at_once)
    batcher.admit(requests[:25])
    emitted = {index: list(found) for index, found in run(batcher).items()}
    batcher.admit(requests[25:])
    emitted |= run(batcher)
    for request in requests:
        found = emitted[request.index]
        assert tuple(token for emission in found for token in emission.tokens) == alone(
            request.prompt.tolist(), request.output_tokens
        )
        assert [emission.done for emission in found] == [False] * (request.output_tokens - 1) + [True]
    assert all(max(rows) < slots for _, rows in engine.calls)
    assert all(len(rows) <= at_once for what, rows in engine.calls if what == "prefill")


def test_those_that_wait_go_first_and_take_the_lowest_free_rows() -> None:
    engine: Any = Counting()
    batcher = Batcher(engine, Greedy(), slots=3, prefill_requests=2)
    batcher.admit([waiting(0, [1], 3), waiting(1, [2], 1), waiting(2, [3], 2), waiting(3, [4], 1)])
    run(batcher)
    # Request 1 is answered by its prefill alone, so 2 and 3 find rows 1 and 2; 0 and 2 go on together.
    assert engine.calls == [("prefill", [0, 1]), ("prefill", [1, 2]), ("decode", [0, 1]), ("decode", [0])]


def test_an_empty_batcher_does_nothing() -> None:
    engine: Any = Counting()
    assert Batcher(engine, Greedy(), 2, 2).step() == []
    assert engine.calls == []


def test_a_request_for_no_tokens_is_refused() -> None:
    engine: Any = Counting()
    with pytest.raises(UsageError, match="request 7 asks for 0 tokens"):
        Batcher(engine, Greedy(), 1, 1).admit([waiting(7, [1], 0)])


def test_the_stopwatch_parts_the_time_by_what_a_step_did() -> None:
    """Three prompts of 4 tokens on two rows, one read at a time, 3 tokens each: the clock moves by 7 at each look."""
    batcher = Batcher(Counting(), Greedy(), 2, 1)  # type: ignore[arg-type]
    batcher.stopwatch.now = iter(range(0, 10_000, 7)).__next__
    batcher.admit([waiting(i, [1, 2, 3, 4], 3) for i in range(3)])
    run(batcher)
    spent = batcher.stopwatch.read()
    assert (spent.prefill_steps, spent.prefill_ns, spent.prefill_tokens) == (3, 21, 12)
    # Two rows say two tokens each, then the third request its own two alone.
    assert (spent.decode_steps, spent.decode_ns, spent.decode_tokens) == (4, 28, 6)
    assert spent.since(spent) == EngineTime()
