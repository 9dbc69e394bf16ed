"""The PyTorch engine: the contract of every engine, and what it alone promises."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from engine_contract import SHAPES, EngineContract, inputs, settings_with, start, stepped
from torch import Tensor, nn

from oildrop.rules.errors import Unsupported
from oildrop.workloads.engine_torch import TorchEngine

__all__ = ["inputs", "start"]  # fixtures


class Linear(nn.Module):
    """The contract's model; parameters stand in another order than the canonical one."""

    def __init__(self) -> None:
        super().__init__()
        self.bias_O = nn.Parameter(torch.empty(SHAPES["bias_O"]))
        self.weight_OI = nn.Parameter(torch.empty(SHAPES["weight_OI"]))

    def tensors(self) -> dict[str, tuple[int, ...]]:
        return SHAPES

    def losses(self, x_BI: Tensor, y_BO: Tensor) -> Tensor:
        off_BO = F.linear(x_BI, self.weight_OI).float() + self.bias_O - y_BO
        return 0.5 * off_BO.square().sum(dim=-1)

    def score(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        losses_B = self.losses(*inputs)
        return losses_B, losses_B < 2


def engine_with(**changed: Any) -> TorchEngine:
    device: Any = SimpleNamespace(backend="torch-cpu", handle=torch.device("cpu"))
    made = TorchEngine(Linear(), settings_with(**changed), device)
    made.build()
    return made


@pytest.fixture
def engine(start: Any) -> TorchEngine:
    made = engine_with(execution__threads=1)
    made.set_weights(start)
    return made


class TestTorchEngine(EngineContract):
    """The contract."""


def test_a_loss_stays_on_the_device_until_its_value_is_asked_for(engine: TorchEngine, inputs: Any) -> None:
    loss = engine.step(engine.put(inputs), 0.1, "fp32")
    assert isinstance(loss, Tensor) and loss.shape == () and not loss.requires_grad
    assert isinstance(engine.value(loss), float)


def test_threads_are_those_that_the_setting_names(inputs: Any, start: Any) -> None:
    before = torch.get_num_threads()
    try:
        engine_with(execution__threads=2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_no_gradient_is_left_behind(engine: TorchEngine, inputs: Any) -> None:
    stepped(engine, inputs)
    engine.gradients(engine.put(inputs), "fp32")
    assert all(parameter.grad is None for parameter in engine._parameters.values())


def test_inductor_without_a_compiler_is_unsupported_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(Unsupported, match=r"execution\.compile=eager"):
        engine_with(execution__compile="inductor")
