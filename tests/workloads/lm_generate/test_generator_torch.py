"""The PyTorch generator does what every generator must; another library's decoder says the same tokens."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from generator_contract import Case, GeneratorContract, Make, case, generator, numbers

from oildrop.workloads.generator import Generator
from oildrop.workloads.lm_generate.model_torch import make_generator

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
    @pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")  # Inductor's own
    def test_compiled_graphs_say_the_same(self, tiny_settings: dict[str, Any], case: Case) -> None:
        compiled = built(tiny_settings | {"execution.compile": "inductor", "model.layers": 2})
        compiled.set_weights(case.weights)
        compiled.prefill(numbers(1, 3), [case.tokens_NT[0, :4], case.tokens_NT[1, :9]])
        found = compiled.logits(compiled.decode(numbers(1, 3), case.tokens_NT[[0, 1], [4, 9]], numbers(4, 9)))
        assert np.allclose(found, case.logits_NTV[[0, 1], [4, 9]], rtol=1e-4, atol=1e-4)
        alone = compiled.logits(compiled.decode(numbers(3), case.tokens_NT[1, 10:11], numbers(10)))
        assert np.allclose(alone, case.logits_NTV[[1], 10], rtol=1e-4, atol=1e-4)
