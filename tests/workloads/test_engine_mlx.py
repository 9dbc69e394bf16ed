"""The MLX engine: the contract of every engine, and what it alone promises."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import pytest
from engine_contract import SHAPES, EngineContract, inputs, settings_with, start, stepped

from oildrop.rules.errors import Unsupported
from oildrop.workloads.engine_mlx import MlxEngine
from oildrop.workloads.products_mlx import linear

__all__ = ["inputs", "start"]  # fixtures


class Linear:
    """The contract's model."""

    def __init__(self) -> None:
        self.traced = 0

    def tensors(self) -> dict[str, tuple[int, ...]]:
        return SHAPES

    def losses(self, weights: Any, x_BI: mx.array, y_BO: mx.array, *, dtype: str) -> mx.array:
        self.traced += 1
        off_BO = linear(x_BI, weights["weight_OI"], dtype).astype(mx.float32) + weights["bias_O"] - y_BO
        return 0.5 * mx.square(off_BO).sum(axis=-1)

    def score(self, weights: Any, *inputs: mx.array, dtype: str) -> tuple[mx.array, mx.array]:
        losses_B = self.losses(weights, *inputs, dtype=dtype)
        return losses_B, losses_B < 2


@pytest.fixture
def engine(start: Any) -> MlxEngine:
    made = engine_with()
    made.set_weights(start)
    return made


def engine_with(**changed: Any) -> MlxEngine:
    device: Any = SimpleNamespace(backend="mlx-cpu", handle=mx.Device(mx.cpu, 0))
    made = MlxEngine(Linear(), settings_with(**changed), device)
    made.build()
    return made


class TestMlxEngine(EngineContract):
    """The contract."""


def test_one_graph_serves_all_rates_and_weights(engine: MlxEngine, start: Any, inputs: Any) -> None:
    stepped(engine, inputs)
    traced = engine._model.traced  # type: ignore[attr-defined]
    engine.set_weights(start)
    stepped(engine, inputs)
    assert (traced, engine._model.traced) == (1, 1)  # type: ignore[attr-defined]


def test_a_step_is_under_way_before_its_loss_is_read(
    engine: MlxEngine, inputs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Any] = []
    monkeypatch.setattr(mx, "async_eval", lambda *arrays: begun.extend(arrays))
    loss = engine.step(engine.put(inputs), 0.1, "fp32")
    assert begun[0] is loss
    assert begun[1][0] is engine._weights and begun[1][1] is engine._average


@pytest.mark.parametrize(
    ("key", "value", "fix"),
    [
        ("execution__compile", "inductor", r"execution.compile is inductor: .*use execution.compile=eager"),
        ("execution__threads", 4, r"execution.threads is 4: .*use execution.threads=0"),
    ],
)
def test_what_mlx_cannot_do_is_unsupported_with_the_fix(key: str, value: Any, fix: str) -> None:
    with pytest.raises(Unsupported, match=fix):
        engine_with(**{key: value})
