"""Rows that hold tokens before any prompt: answers are those of prompts that begin with them; nothing counts them."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from oildrop.rules.errors import UsageError
from oildrop.rules.formulas.flops import decoder_serve_flops
from oildrop.workloads.generator import Generator, Tokens
from oildrop.workloads.lm_generate.at_depth import AtDepth
from oildrop.workloads.lm_generate.batcher import Batcher, Waiting
from oildrop.workloads.lm_generate.model_torch import make_generator
from oildrop.workloads.lm_generate.requests import Requests
from oildrop.workloads.lm_generate.sampling import Greedy
from oildrop.workloads.lm_generate.serving import LmGenerate, make_task
from oildrop.workloads.lm_generate.shapes import model_shape
from oildrop.workloads.lm_pretrain.grammar import grammar_of
from oildrop.workloads.lm_pretrain.parser import choices_of
from oildrop.workloads.lm_pretrain.reference import gate_weights
from oildrop.workloads.lm_pretrain.source import Source

DEVICE: Any = SimpleNamespace(backend="torch-cpu", handle=torch.device("cpu"))
DEPTH = 9


@pytest.fixture
def deep(tiny_settings: dict[str, Any]) -> dict[str, Any]:
    """Documents of 24 tokens, the first 9 of which are held."""
    return tiny_settings | {
        "requests.depth_tokens": DEPTH,
        "requests.prompt_tokens_max": 8,
        "requests.output_tokens_max": 8,
    }


def built(settings: dict[str, Any]) -> Generator:
    generator = make_generator(settings, DEVICE)
    generator.build()
    generator.set_weights(gate_weights(model_shape(settings), 9, 0.2))
    return generator


def answers_of(generator: Generator, prompts: list[Tokens]) -> dict[int, list[int]]:
    batcher = Batcher(generator, Greedy(), slots=4, prefill_requests=2)
    batcher.admit([Waiting(index=i, prompt=prompt, output_tokens=3 + i % 5) for i, prompt in enumerate(prompts)])
    answers: dict[int, list[int]] = {}
    while emissions := batcher.step():
        for emission in emissions:
            answers.setdefault(emission.index, []).extend(emission.tokens)
    return answers


def made(settings: dict[str, Any]) -> LmGenerate:
    task = make_task(settings, DEVICE)
    task.load_data()
    task.build()
    return task


def test_answers_behind_what_is_held_are_those_of_the_whole_prompt(deep: dict[str, Any]) -> None:
    held = np.arange(DEPTH, dtype=np.int32) * 7 % 40
    prompts = [np.arange(length, dtype=np.int32) * 3 % 40 for length in (3, 8, 1, 5, 8, 2, 4)]
    expected = answers_of(built(deep), [np.concatenate([held, prompt]) for prompt in prompts])
    generator = AtDepth(built(deep), rows=4, at_once=2)
    assert answers_of(generator, prompts) != expected
    generator.begin_at(held)
    assert answers_of(generator, prompts) == expected
    # To score prompts takes the rows; they hold the tokens again when the next prompt is read.
    scored = generator.prompt_logits(np.stack([prompts[1], prompts[4]]))
    whole = built(deep).prompt_logits(np.stack([np.concatenate([held, prompts[i]]) for i in (1, 4)]))
    assert np.allclose(scored, whole[:, DEPTH:], atol=1e-5)
    assert answers_of(generator, prompts) == expected


def test_new_weights_are_held_anew(deep: dict[str, Any]) -> None:
    held = np.arange(DEPTH, dtype=np.int32)
    prompts = [np.arange(5, dtype=np.int32) + i for i in range(5)]
    generator = AtDepth(make_generator(deep, DEVICE), rows=4, at_once=2)
    generator.build()
    generator.begin_at(held)
    generator.set_weights(gate_weights(model_shape(deep), 9, 0.2))
    expected = answers_of(built(deep), [np.concatenate([held, prompt]) for prompt in prompts])
    assert answers_of(generator, prompts) == expected


def test_documents_that_begin_alike_are_in_the_language_and_cost_what_their_own_choices_cost(
    deep: dict[str, Any],
) -> None:
    grammar = grammar_of(deep)
    source = Source(grammar)
    held = source.held_tokens(11, DEPTH).tolist()
    tokens, information = source.prefixes(11, 4, 30, 25 - DEPTH, "serve", DEPTH)
    assert len({row.tobytes() for row in tokens}) == 30
    for row, nats in zip(tokens, information, strict=True):
        for place in (0, 6, 25 - DEPTH - 1):
            own = [choice.nats for choice in choices_of(grammar, [*held, *row.tolist()])
                   if DEPTH <= choice.position <= DEPTH + place]  # fmt: skip
            assert nats[place] == pytest.approx(math.fsum(own), rel=1e-12)


def test_prompts_go_on_from_what_is_held_and_only_they_are_counted(deep: dict[str, Any]) -> None:
    source = Source(grammar_of(deep))
    requests = Requests(deep, source, 11)
    assert requests.held().tolist() == source.held_tokens(11, DEPTH).tolist()
    tokens, information = source.prefixes(11, 0, 50, 8, "serve", DEPTH)
    first = [
        index
        for index in range(50)
        if np.array_equal(requests.prompt(index), tokens[index, : requests.size(index).input_tokens])
    ]
    assert len(first) > 40  # the others were asked before
    for index in first:
        length = requests.size(index).input_tokens
        assert 3 <= length <= 8
        # The prompt's first token is not scored, so what the source thinks of it is left out too.
        assert requests.source_nats(index) == information[index, length - 1] - information[index, 0]


def test_the_task_at_depth_passes_its_gates_and_agrees_with_the_reference(deep: dict[str, Any]) -> None:
    task = made(deep)
    results = {result.name: result for result in task.run_gates()}
    assert set(results) == {"loss_prefill", "loss_decode", "greedy", "loss_depth"}
    assert all(result.passed for result in results.values())
    task.initialise(7)
    task.warm_up()
    task.admit(list(range(20)))
    answers: dict[int, tuple[int, ...]] = {}
    while emissions := task.step():
        for emission in emissions:
            answers[emission.index] = answers.get(emission.index, ()) + emission.tokens
    found = task.assess(answers)
    assert np.array_equal(found.agreed_count, found.compared_count)
    assert found.token_count.tolist() == [task.size(index).input_tokens - 1 for index in found.index.tolist()]


@pytest.mark.parametrize("broken", ["decode", "filled"])
def test_an_engine_at_another_depth_than_it_says_fails_its_gate(
    deep: dict[str, Any], monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def too_early(self: Any, slots_B: Tokens, tokens_B: Tokens, positions_B: Tokens) -> Any:
        return self._inner.decode(slots_B, tokens_B, positions_B + np.int32(max(self.depth - 1, 0)))

    if broken == "decode":
        monkeypatch.setattr(AtDepth, "decode", too_early)
    else:
        monkeypatch.setattr(AtDepth, "_fill", lambda self: None)
    results = {result.name: result.passed for result in made(deep).run_gates()}
    assert results["loss_decode"] and not results["loss_depth"]


def test_a_depth_that_the_document_does_not_hold_is_refused(deep: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"requests\.depth_tokens .* = 26: .* has 25"):
        model_shape(deep | {"requests.depth_tokens": 10})


def test_flops_at_depth_are_those_of_the_whole_less_what_was_read_before() -> None:
    sizes = {"layers": 2, "width": 8, "heads": 2, "key_value_heads": 1, "hidden": 12, "vocabulary": 30}
    whole = decoder_serve_flops(**sizes, input_tokens=DEPTH + 5, output_tokens=4)
    before = decoder_serve_flops(**sizes, input_tokens=DEPTH, output_tokens=1)
    # The held part as a prompt of its own predicts one token: 2 V W.
    assert (
        decoder_serve_flops(**sizes, input_tokens=5, output_tokens=4, depth_tokens=DEPTH) == whole - before + 2 * 30 * 8
    )
