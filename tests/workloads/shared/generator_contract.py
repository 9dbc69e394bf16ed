"""What every generator must do, against the float64 reference, which has no cache: it reads each document whole.

A test file of one framework inherits `GeneratorContract` and gives it the fixture `make`, which builds a generator of
its framework from settings. Logits of the gate's weights are of order 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from oildrop.workloads.generator import Generator, Tokens
from oildrop.workloads.lm_generate.quantised import as_served
from oildrop.workloads.lm_generate.shapes import model_shape
from oildrop.workloads.lm_pretrain import reference
from oildrop.workloads.lm_pretrain.grammar import grammar_of
from oildrop.workloads.lm_pretrain.source import Source

Make = Callable[[dict[str, Any]], Generator]
LIMITS = {"fp32": 1e-5, "bf16": 2e-2}
"""Relative RMS of logits: fp32 sums in another order; a bfloat16 product rounds to 2^-9."""


def numbers(*values: int) -> Tokens:
    return np.array(values, dtype=np.int32)


class Case:
    """Weights, documents and the reference's logits after each of their tokens, [N, T, V]."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.shape = model_shape(settings)
        self.weights = reference.gate_weights(self.shape, 5, 0.2)
        tokens_NS, _ = Source(grammar_of(settings)).documents(5, 0, 6, part="gate")
        self.tokens_NT = tokens_NS[:, :-1]
        self.logits_NTV = self.logits_of(self.weights)

    def logits_of(self, weights: Any) -> NDArray[np.float64]:
        exact = reference.in_float64(weights)
        stream_NTW = reference.residual_stream(exact, self.tokens_NT, self.shape)[-1]
        return reference.logits(stream_NTW, exact, self.shape)

    def cache_of(self, document: int, length: int) -> NDArray[np.float64]:
        """Keys and values of a document's beginning, [L, 2, K, T, D]."""
        exact = reference.in_float64(self.weights)
        stream = reference.residual_stream(exact, self.tokens_NT[document : document + 1, :length], self.shape)
        layers = []
        for i in range(self.shape.layers):
            layer = reference.layer_of(exact, i)
            normal_1TW = reference.rms_norm(stream[2 * i], layer["attention_norm_W"], self.shape)
            _, keys, values = reference.queries_keys_values(normal_1TW, layer, self.shape)
            layers.append(np.stack([keys[0, :, 0], values[0, :, 0]]))
        return np.stack(layers)


def difference(found: Any, expected: Any) -> float:
    return float(np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2)))


def read_then_say(
    generator: Generator, case: Case, slots: Sequence[int], documents: Sequence[int], lengths: Sequence[int], steps: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Logits [steps + 1, B, V] found and expected: prompts of `lengths`, then their documents' own next tokens."""
    rows = numbers(*slots)
    prompts = [case.tokens_NT[n, :length] for n, length in zip(documents, lengths, strict=True)]
    found = [generator.logits(generator.prefill(rows, prompts))]
    for step in range(steps):
        positions = numbers(*lengths) + np.int32(step)
        tokens = case.tokens_NT[list(documents), positions]
        found.append(generator.logits(generator.decode(rows, tokens, positions)))
    places = np.array(lengths) - 1
    expected = [case.logits_NTV[list(documents), places + step] for step in range(steps + 1)]
    return np.array(found, dtype=np.float64), np.array(expected)


@pytest.fixture(scope="module")
def case(tiny_settings: dict[str, Any]) -> Case:
    return Case(tiny_settings)


@pytest.fixture(scope="module")
def generator(make: Make, tiny_settings: dict[str, Any], case: Case) -> Generator:
    made = make(tiny_settings)
    made.set_weights(case.weights)
    return made


class GeneratorContract:
    """Tests of one framework's generator."""

    def test_decoding_through_the_cache_is_reading_the_whole(self, generator: Generator, case: Case) -> None:
        found, expected = read_then_say(generator, case, slots=[2], documents=[0], lengths=[1], steps=23)
        assert 0 < difference(found, expected) < LIMITS["fp32"]

    def test_prompts_of_unlike_lengths_side_by_side_are_each_as_alone(self, generator: Generator, case: Case) -> None:
        found, expected = read_then_say(generator, case, slots=[3, 1], documents=[1, 2], lengths=[3, 17], steps=0)
        assert difference(found, expected) < LIMITS["fp32"]
        # Rows of a step rise, whatever order they were filled in.
        logits = generator.logits(generator.decode(numbers(1, 3), case.tokens_NT[[2, 1], [17, 3]], numbers(17, 3)))
        assert difference(logits, case.logits_NTV[[2, 1], [17, 3]]) < LIMITS["fp32"]

    def test_a_row_used_again_forgets_and_its_neighbours_go_on(self, generator: Generator, case: Case) -> None:
        read_then_say(generator, case, slots=[0, 2], documents=[0, 1], lengths=[20, 9], steps=2)
        found, expected = read_then_say(generator, case, slots=[0, 1], documents=[2, 3], lengths=[2, 5], steps=6)
        assert difference(found, expected) < LIMITS["fp32"]
        # Row 2 was read before, and stood beside every step since without being asked.
        logits = generator.logits(generator.decode(numbers(0, 2), case.tokens_NT[[2, 1], [8, 11]], numbers(8, 11)))
        assert difference(logits, case.logits_NTV[[2, 1], [8, 11]]) < LIMITS["fp32"]

    def test_a_prompt_is_read_on_from_what_its_row_holds(self, generator: Generator, case: Case) -> None:
        generator.prefill(numbers(3, 1), list(case.tokens_NT[:2, :7]))
        generator.prefill(numbers(2), [case.tokens_NT[2, :20]])
        rest = [case.tokens_NT[0, 7:9], case.tokens_NT[1, 7:24]]
        found = generator.logits(generator.prefill(numbers(3, 1), rest, 7))
        assert difference(found, case.logits_NTV[[0, 1], [8, 23]]) < LIMITS["fp32"]
        logits = generator.logits(generator.decode(numbers(2, 3), case.tokens_NT[[2, 0], [20, 9]], numbers(20, 9)))
        assert difference(logits, case.logits_NTV[[2, 0], [20, 9]]) < LIMITS["fp32"]

    def test_a_step_leaves_rows_between_alone(self, generator: Generator, case: Case) -> None:
        for slots, documents in (([0, 1], [0, 1]), ([2, 3], [2, 3])):
            read_then_say(generator, case, slots=slots, documents=documents, lengths=[1, 1], steps=0)
        generator.decode(numbers(0, 3), case.tokens_NT[[0, 3], [1, 1]], numbers(1, 1))
        found = generator.logits(generator.decode(numbers(1, 2), case.tokens_NT[[1, 2], [1, 1]], numbers(1, 1)))
        assert difference(found, case.logits_NTV[[1, 2], [1, 1]]) < LIMITS["fp32"]
        every = generator.decode(numbers(0, 1, 2, 3), case.tokens_NT[:4, 2], numbers(2, 2, 2, 2))
        assert difference(generator.logits(every), case.logits_NTV[:4, 2]) < LIMITS["fp32"]

    def test_greedy_is_the_largest_logit_of_each_row_asked_for(self, generator: Generator, case: Case) -> None:
        for handle in (
            generator.prefill(numbers(0), [case.tokens_NT[0, :7]]),
            generator.prefill(numbers(3, 1), [case.tokens_NT[1, :9], case.tokens_NT[2, :4]]),
            generator.decode(numbers(1, 3), case.tokens_NT[[2, 1], [4, 9]], numbers(4, 9)),
        ):
            greedy, logits = generator.greedy(handle), generator.logits(handle)
            assert greedy.dtype == np.int32 and logits.dtype == np.float32
            assert logits.shape == (len(greedy), case.shape.vocabulary)
            assert np.array_equal(greedy, logits.argmax(axis=-1))

    @pytest.mark.parametrize(("count", "length"), [(1, 1), (2, 16), (5, 17), (6, 24)])
    def test_prompt_logits_are_the_references(self, generator: Generator, case: Case, count: int, length: int) -> None:
        found = generator.prompt_logits(case.tokens_NT[:count, :length])
        assert found.dtype == np.float32 and found.shape == (count, length, case.shape.vocabulary)
        assert difference(found, case.logits_NTV[:count, :length]) < LIMITS["fp32"]

    def test_new_weights_change_the_answers_and_belong_to_the_generator(self, generator: Generator, case: Case) -> None:
        other = reference.gate_weights(case.shape, 6, 0.2)
        given = {name: tensor.copy() for name, tensor in other.items()}
        generator.set_weights(given)
        for tensor in given.values():
            tensor[:] = 0
        found = generator.prompt_logits(case.tokens_NT)
        generator.set_weights(case.weights)
        assert difference(found, case.logits_of(other)) < LIMITS["fp32"]
        assert difference(generator.prompt_logits(case.tokens_NT), case.logits_NTV) < LIMITS["fp32"]

    def test_bf16_rounds_and_stays_near(self, make: Make, tiny_settings: dict[str, Any], case: Case) -> None:
        generator = make(tiny_settings | {"execution.dtype": "bf16"})
        generator.set_weights(case.weights)
        found, expected = read_then_say(generator, case, slots=[0, 2], documents=[0, 1], lengths=[5, 8], steps=9)
        # What differs less was computed in fp32.
        assert 1e-3 < difference(found, expected) < LIMITS["bf16"]

    @pytest.mark.parametrize(("scheme", "dtype"), [("int8", "bf16"), ("int4", "fp32")])
    def test_whole_numbers_are_those_of_the_rulebook(
        self, make: Make, tiny_settings: dict[str, Any], case: Case, scheme: str, dtype: str
    ) -> None:
        generator = make(tiny_settings | {"execution.dtype": dtype, "execution.weights": scheme})
        generator.set_weights(case.weights)
        exact = case.logits_of(as_served(case.weights, scheme))
        places = np.arange(5, 12)
        found, _ = read_then_say(generator, case, slots=[1, 2], documents=[0, 1], lengths=[6, 6], steps=6)
        assert difference(found, exact[:2, places].swapaxes(0, 1)) < LIMITS[dtype]
        assert difference(exact, case.logits_NTV) > {"int8": 2e-3, "int4": 4e-2}[scheme]

    def test_several_tokens_a_row_in_one_step_are_as_one_at_a_time(self, generator: Generator, case: Case) -> None:
        texts = case.tokens_NT
        generator.prefill(numbers(3, 0), [texts[0, :4], texts[1, :19]])
        generator.prefill(numbers(2), [texts[2, :9]])
        # Junk after a row's end is replaced, row 2 between is left alone, and row 0 is filled to its last position.
        generator.extend(numbers(0, 3), [texts[3, :4], texts[2, :3]], numbers(19, 4))
        handle = generator.extend(numbers(0, 3), [texts[1, 19:24], texts[0, 4:6]], numbers(19, 4))
        expected = np.concatenate([case.logits_NTV[1, 19:24], case.logits_NTV[0, 4:6]])
        found = generator.logits(handle)
        assert difference(found, expected) < LIMITS["fp32"]
        assert np.array_equal(generator.greedy(handle), found.argmax(axis=-1))
        logits = generator.logits(generator.decode(numbers(2, 3), texts[[2, 0], [9, 6]], numbers(9, 6)))
        assert difference(logits, case.logits_NTV[[2, 0], [9, 6]]) < LIMITS["fp32"]
        alone = generator.logits(generator.extend(numbers(3), [texts[0, 7:8]], numbers(7)))
        assert difference(alone, case.logits_NTV[[0], [7]]) < LIMITS["fp32"]

    @pytest.mark.parametrize("dtype", ["fp32", "bf16"])
    def test_a_row_of_the_cache_is_the_references_and_goes_on_elsewhere(
        self, make: Make, generator: Generator, tiny_settings: dict[str, Any], case: Case, dtype: str
    ) -> None:
        if dtype == "bf16":
            generator = make(tiny_settings | {"execution.dtype": dtype})
            generator.set_weights(case.weights)
        generator.prefill(numbers(2), [case.tokens_NT[0, :9]])
        row = generator.cache_of(2, 9)
        assert row.dtype == {"fp32": np.float32, "bf16": np.uint16}[dtype]
        values = row if dtype == "fp32" else (row.astype(np.uint32) << 16).view(np.float32)
        expected = case.cache_of(0, 9)
        assert values.shape == expected.shape
        assert difference(values, expected) < LIMITS[dtype]
        generator.prefill(numbers(0, 1), list(case.tokens_NT[1:3, :20]))
        generator.put_cache(1, row)
        assert np.array_equal(generator.cache_of(1, 9), row)
        found = generator.logits(generator.decode(numbers(0, 1), case.tokens_NT[[1, 0], [20, 9]], numbers(20, 9)))
        assert difference(found, case.logits_NTV[[1, 0], [20, 9]]) < LIMITS[dtype]
