"""The PyTorch generator does what every generator must; another library's decoder says the same tokens."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from generator_contract import (
    LIMITS,
    Case,
    GeneratorContract,
    Make,
    case,
    difference,
    generator,
    numbers,
    read_then_say,
)

from oildrop.workloads.generator import Generator
from oildrop.workloads.lm_generate import one_row_torch
from oildrop.workloads.lm_generate.model_torch import make_generator
from oildrop.workloads.lm_generate.quantised import as_served
from oildrop.workloads.lm_pretrain import reference

__all__ = ["case", "generator"]

DEVICE: Any = SimpleNamespace(backend="torch-cpu", handle=torch.device("cpu"))


def built(settings: dict[str, Any]) -> Generator:
    made = make_generator(settings, DEVICE)
    made.build()
    return made


@pytest.fixture(scope="module")
def make() -> Make:
    return built


class TestTorchGenerator(GeneratorContract):
    def test_a_row_between_that_was_not_asked_for_keeps_what_it_holds(self, generator: Any, case: Case) -> None:
        generator.prefill(numbers(0, 1), list(case.tokens_NT[:2, :5]))
        before = generator._cache_L2RKTD[:, :, 1].clone()
        generator.prefill(numbers(2), [case.tokens_NT[2, :5]])
        generator.decode(numbers(0, 2), case.tokens_NT[[0, 2], 5], numbers(5, 5))
        assert torch.equal(generator._cache_L2RKTD[:, :, 1], before)

    @pytest.mark.slow
    @pytest.mark.usefixtures("inductor")
    @pytest.mark.timeout(400)
    @pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")  # Inductor's own
    def test_compiled_graphs_say_the_same_and_are_not_made_again(
        self, tiny_settings: dict[str, Any], case: Case, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looked_at, arguments_alone = set(), one_row_torch._arguments_alone

        def recorded(guards: list[Any]) -> list[bool]:
            kept = arguments_alone(guards)
            looked_at.update(guard.name for guard, keep in zip(guards, kept, strict=True) if keep)
            return kept

        monkeypatch.setattr(one_row_torch, "_arguments_alone", recorded)
        compiled = built(tiny_settings | {"execution.compile": "inductor"})
        assert looked_at == {"", "token_1", "position_1", "cache_L2KTD"}  # and at no tensor of the weights
        compiled.set_weights(case.weights)
        with torch._dynamo.config.patch(error_on_recompile=True):
            for slots, lengths in (([1, 3], [4, 9]), ([2], [1]), ([3], [15]), ([0, 2], [2, 2])):
                documents = list(range(len(slots)))
                steps = len(case.tokens_NT[0]) - max(lengths)
                found, expected = read_then_say(compiled, case, slots, documents, lengths, steps)
                assert difference(found, expected) < LIMITS["fp32"]
            compiled.prefill(numbers(1, 3), [case.tokens_NT[1, :2], case.tokens_NT[3, :2]])
            every = compiled.decode(numbers(0, 1, 2, 3), case.tokens_NT[:4, 2], numbers(2, 2, 2, 2))
            assert difference(compiled.logits(every)[[1, 3]], case.logits_NTV[[1, 3], 2]) < LIMITS["fp32"]

    @pytest.mark.slow
    @pytest.mark.usefixtures("inductor")
    @pytest.mark.timeout(400)
    @pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")  # Inductor's own
    @pytest.mark.parametrize("scheme", ["int8", "int4"])
    def test_a_compiled_step_of_whole_numbers_takes_new_ones(
        self, tiny_settings: dict[str, Any], case: Case, scheme: str
    ) -> None:
        declared = {"execution.weights": scheme, "execution.dtype": "bf16", "execution.slots": 1}
        compiled = built(tiny_settings | declared | {"execution.compile": "inductor"})
        for weights in (reference.gate_weights(case.shape, 6, 0.2), case.weights):
            compiled.set_weights(weights)
            found, _ = read_then_say(compiled, case, slots=[0], documents=[0], lengths=[9], steps=12)
            exact_TV = case.logits_of(as_served(weights, scheme))[0, 8:21]
            assert difference(found[:, 0], exact_TV) < LIMITS["bf16"]
