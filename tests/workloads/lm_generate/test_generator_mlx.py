"""The MLX generator does what every generator must, and its kernel for whole numbers reads the rulebook's."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from generator_contract import GeneratorContract, Make, case, generator

from oildrop.rules.errors import Unsupported
from oildrop.workloads.generator import Generator
from oildrop.workloads.lm_generate.model_mlx import make_generator
from oildrop.workloads.lm_generate.products_mlx import product_of
from oildrop.workloads.lm_generate.quantised import quantise

__all__ = ["case", "generator"]


class Processor:
    """MLX's processor."""

    backend = "mlx-cpu"

    def __init__(self) -> None:
        self.handle: Any = mx.Device(mx.cpu, 0)

    def synchronize(self) -> None:
        pass

    def memory_peak_bytes(self) -> int | None:
        return None


def built(settings: dict[str, Any]) -> Generator:
    made = make_generator(settings, Processor())
    made.build()
    return made


@pytest.fixture(scope="module")
def make() -> Make:
    return built


class TestMlxGenerator(GeneratorContract):
    @pytest.mark.parametrize(("key", "value"), [("execution.compile", "inductor"), ("execution.threads", 2)])
    def test_what_mlx_cannot_be_told_is_refused(self, tiny_settings: dict[str, Any], key: str, value: Any) -> None:
        with pytest.raises(Unsupported, match=f"{key} is {value}"):
            built(tiny_settings | {key: value})


@pytest.mark.parametrize("scheme", ["int8", "int4"])
@pytest.mark.parametrize("inputs", [256, 192, 96, 40])
def test_products_are_with_the_rulebooks_whole_numbers(scheme: str, inputs: int) -> None:
    mx.set_default_device(mx.cpu)
    draw = np.random.default_rng(3)
    weight_OI = draw.normal(size=(24, inputs)).astype(np.float32)
    x_NI = draw.normal(size=(3, inputs)).astype(np.float32)
    found = np.array(product_of("head_VW", weight_OI, scheme, "fp32")(mx.array(x_NI)))
    expected = x_NI.astype(np.float64) @ quantise(weight_OI, scheme).values().T.astype(np.float64)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-4)
