"""Prompts read on from what was kept are answered as without a cache, in every framework; hits are counted exactly."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from oildrop.rules.errors import Unsupported
from oildrop.workloads.generator import Generator, Tokens
from oildrop.workloads.lm_generate.batcher import Batcher, Waiting
from oildrop.workloads.lm_generate.gate_case import serve_case
from oildrop.workloads.lm_generate.gates import measure
from oildrop.workloads.lm_generate.prefix_cached import BLOCK, LEAST_KEPT, PrefixCached, RowKeeper, prefix_cached
from oildrop.workloads.lm_generate.sampling import Greedy
from oildrop.workloads.lm_generate.shapes import model_shape
from oildrop.workloads.lm_pretrain.reference import gate_weights
from oildrop.workloads.served_protocols import PromptTokens

LONG = {
    "data.document_tokens": 64, "requests.prompt_tokens_max": 48, "requests.output_tokens_max": 10,
    "execution.prefix_cache": "on",
}  # fmt: skip


class Recording:
    """An engine without a model: it says how it was called, and hands rows out by name."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def set_weights(self, weights: Any) -> None:
        self.calls.append(("weights",))

    def prefill(self, slots_B: Tokens, prompts: Sequence[Tokens], start: int = 0) -> Any:
        self.calls.append(("prefill", slots_B.tolist(), [len(prompt) for prompt in prompts], start))
        return [float(prompt[-1]) for prompt in prompts]

    def keep(self, slot: int, length: int) -> Any:
        self.calls.append(("keep", slot, length))
        return f"row {slot} to {length}"

    def give(self, slot: int, kept: Any, length: int) -> None:
        self.calls.append(("give", slot, kept, length))

    def logits(self, handle: Any) -> Any:
        return np.array(handle, dtype=np.float32)[:, None]

    def greedy(self, handle: Any) -> Any:
        return np.array(handle, dtype=np.int32)


def recorded(slots: int = 4) -> tuple[PrefixCached, Recording]:
    engine: Any = Recording()
    return PrefixCached(engine, {"execution.slots": slots, "execution.prefill_requests": 4}), engine


def prompt(family: int, own: int, length: int) -> Tokens:
    """The first 20 tokens are the family's."""
    return np.array([1000 + family] * 20 + [own] * (length - 20), dtype=np.int32)[:length]


def read(cached: PrefixCached, *prompts: Tokens) -> Any:
    handle = cached.prefill(np.arange(len(prompts), dtype=np.int32), list(prompts))
    return cached.greedy(handle).tolist()


def test_a_beginning_is_found_in_whole_blocks_and_the_rest_is_read() -> None:
    cached, engine = recorded()
    assert read(cached, prompt(1, 7, 30)) == [7]
    assert engine.calls == [("prefill", [0], [30], 0), ("keep", 0, 16)]
    engine.calls.clear()
    assert read(cached, prompt(1, 8, 40)) == [8]
    # 16 of the 20 tokens that both have; 32 are more than was kept, so that this prompt is kept too.
    assert engine.calls == [("give", 0, "row 0 to 16", 16), ("prefill", [0], [24], 16), ("keep", 0, 32)]
    assert cached.read == PromptTokens(asked=70, cached=16)


def test_the_last_token_is_always_read() -> None:
    cached, engine = recorded()
    read(cached, prompt(1, 7, 32))
    engine.calls.clear()
    read(cached, prompt(1, 7, 32))
    assert engine.calls == [("give", 0, "row 0 to 32", 16), ("prefill", [0], [16], 16)]


def test_prompts_of_one_step_are_read_in_groups_and_answered_in_order() -> None:
    cached, engine = recorded()
    read(cached, prompt(1, 7, 20))
    engine.calls.clear()
    prompts = [prompt(2, 21, 25), prompt(1, 22, 26), prompt(3, 23, 12), prompt(1, 24, 27)]
    assert read(cached, *prompts) == [21, 22, 1003, 24]
    reads = [call for call in engine.calls if call[0] == "prefill"]
    assert reads == [("prefill", [0, 2], [25, 12], 0), ("prefill", [1, 3], [10, 11], 16)]
    assert cached.read.since(PromptTokens(asked=20)) == PromptTokens(asked=90, cached=32)
    logits_BV = cached.logits(cached.prefill(np.arange(4, dtype=np.int32), prompts))
    assert logits_BV.ravel().tolist() == [21, 22, 1003, 24]


def test_the_longest_unused_goes_first() -> None:
    cached, engine = recorded(slots=LEAST_KEPT)
    for family in (*range(LEAST_KEPT), 0, LEAST_KEPT):  # the last takes the place of 1, since 0 was of use again
        read(cached, prompt(family, 7, 18))
    engine.calls.clear()
    read(cached, prompt(0, 7, 18))
    read(cached, prompt(1, 7, 18))
    assert [call[0] for call in engine.calls] == ["give", "prefill", "prefill", "keep"]


def test_other_weights_forget_all() -> None:
    cached, _ = recorded()
    read(cached, prompt(1, 7, 30))
    cached.set_weights({})
    read(cached, prompt(1, 7, 30))
    assert cached.read == PromptTokens(asked=30, cached=0)


def test_an_engine_whose_rows_cannot_be_copied_is_refused_with_the_fix() -> None:
    pair: Any = SimpleNamespace(prefill=None)
    assert prefix_cached(pair, {"execution.prefix_cache": "off"}) is pair
    with pytest.raises(Unsupported, match=r"execution\.transfer to none"):
        prefix_cached(pair, {"execution.prefix_cache": "on"})


def device_of(framework: str) -> Any:
    if framework == "torch":
        return SimpleNamespace(backend="torch-cpu", handle=import_module("torch").device("cpu"))
    if framework == "jax":
        return SimpleNamespace(backend="jax-cpu", handle=import_module("jax").devices("cpu")[0])
    return SimpleNamespace(backend="mlx-cpu", handle=import_module("mlx.core").cpu)


@pytest.fixture(params=["torch", "jax", "mlx"], scope="module")
def engine(request: Any, tiny_settings: dict[str, Any]) -> Generator:
    made = import_module(f"oildrop.workloads.lm_generate.model_{request.param}")
    generator: Generator = made.make_generator(tiny_settings | LONG, device_of(request.param))
    generator.build()
    return generator


def answers_of(generator: Generator, prompts: Sequence[Tokens]) -> dict[int, list[int]]:
    batcher = Batcher(generator, Greedy(), slots=4, prefill_requests=2)
    batcher.admit([Waiting(index=i, prompt=prompt, output_tokens=2 + i % 5) for i, prompt in enumerate(prompts)])
    answers: dict[int, list[int]] = {}
    while emissions := batcher.step():
        for emission in emissions:
            answers.setdefault(emission.index, []).extend(emission.tokens)
    return answers


def test_answers_are_token_by_token_those_without_a_cache(engine: Generator, tiny_settings: dict[str, Any]) -> None:
    settings = tiny_settings | LONG
    weights = gate_weights(model_shape(settings), 9, 0.2)
    draws = np.random.default_rng(4)
    families = draws.integers(0, 50, (3, 33)).astype(np.int32)
    own = [draws.integers(0, 50, int(length)).astype(np.int32) for length in draws.integers(1, 15, 24)]
    prompts = [np.concatenate([families[i % 3], rest]) for i, rest in enumerate(own)]
    engine.set_weights(weights)
    expected = answers_of(engine, prompts)
    cached = prefix_cached(engine, settings)
    assert isinstance(engine, RowKeeper) and isinstance(cached, PrefixCached)
    cached.set_weights(weights)
    assert answers_of(cached, prompts) == expected
    assert len({token for answer in expected.values() for token in answer}) > 5
    # Two are read at once: of the first three prompts none is found, of the others the 32 tokens of whole blocks.
    assert cached.read == PromptTokens(asked=sum(map(len, prompts)), cached=32 * 21)


def test_gates_go_through_the_cache(engine: Generator, tiny_settings: dict[str, Any]) -> None:
    settings = tiny_settings | LONG
    cached = prefix_cached(engine, settings)
    assert isinstance(cached, PrefixCached)
    found = dict(measure(cached, serve_case(settings), 4, 2))
    assert cached.read.cached >= BLOCK
    assert all(value < 1e-5 for value in found.values()), found
