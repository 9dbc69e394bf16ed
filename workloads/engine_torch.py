"""Any model in PyTorch: AdamW, running average, autocast and compilation around it (see `engine.Engine`)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from oildrop.workloads.compiler_torch import require_compiler
from oildrop.workloads.cores import physical_cores
from oildrop.workloads.engine import Inputs, Weights, adamw_of
from oildrop.workloads.protocols import Device, Settings


class Model(Protocol):
    """What a model file makes: a `torch.nn.Module` with these methods."""

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter by canonical name, in canonical order."""

    def losses(self, *inputs: Tensor) -> Tensor:
        """Loss of each scored item, nats, fp32."""

    def score(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The losses, and whether the likeliest answer was right."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """As a module has them."""

    def to(self, device: torch.device) -> object:
        """As a module does."""

    def requires_grad_(self, requires_grad: bool) -> Self:
        """As a module does."""


class TorchEngine:
    """The `Engine` of PyTorch on a CPU, CUDA, ROCm or Metal device.

    Args:
        model: A module whose parameters bear the canonical names; `tensors()` has these in canonical order,
            `losses(*inputs)` gives the loss of each scored item in fp32, and `score(*inputs)` also whether the
            likeliest answer was right.
    """

    def __init__(self, model: Model, settings: Settings, device: Device) -> None:
        self._model = model
        self._settings = settings
        self._handle: torch.device = device.handle
        self._adamw = adamw_of(settings)

    def build(self) -> None:
        """Move the model, copy it for the average, and compile where that is declared."""
        torch.set_num_threads(int(self._settings["execution.threads"]) or physical_cores())
        self._model.to(self._handle)
        self._mean = copy.deepcopy(self._model).requires_grad_(False)
        self._parameters, self._averages = _in_order(self._model), _in_order(self._mean)
        self._optimizer = self._new_optimizer()
        self._losses, self._score = self._model.losses, self._mean.score
        if self._settings["execution.compile"] == "inductor":
            require_compiler()
            self._losses = torch.compile(self._losses, dynamic=False)
            self._score = torch.compile(self._score, dynamic=False)

    def set_weights(self, weights: Weights) -> None:
        """Copy `weights` into model and average; the optimizer starts over."""
        with torch.no_grad():
            for parameters in (self._parameters, self._averages):
                for name, parameter in parameters.items():
                    parameter.copy_(torch.from_numpy(weights[name]))
        self._optimizer = self._new_optimizer()

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """The newest weights on the host."""
        return _on_host(self._parameters)

    def average(self) -> dict[str, NDArray[np.float32]]:
        """Their running average on the host."""
        return _on_host(self._averages)

    def put(self, inputs: Inputs) -> tuple[Tensor, ...]:
        """Tensors on the device; from pinned memory without waiting where the device has its own."""
        return tuple(self._put(array) for array in inputs)

    def step(self, inputs: tuple[Tensor, ...], rate: float, dtype: str) -> Tensor:
        """Forward, backward, AdamW and average; nothing waits for the device."""
        loss = self._mean_loss(inputs, dtype)
        loss.backward()
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            share = 1.0 - self._adamw.average_decay
            torch._foreach_lerp_(list(self._averages.values()), list(self._parameters.values()), share)
        return loss.detach()

    def value(self, loss: Tensor) -> float:
        """The loss once the device has it."""
        return float(loss.item())

    def losses(self, inputs: tuple[Tensor, ...], dtype: str) -> NDArray[np.float32]:
        """Through the graph of `step`, with gradients tracked as there."""
        with self._autocast(dtype):
            return self._losses(*inputs).detach().cpu().numpy()

    def score(self, inputs: tuple[Tensor, ...], dtype: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Through the evaluation's graph."""
        with torch.no_grad(), self._autocast(dtype):
            losses, right = self._score(*inputs)
        return losses.cpu().numpy(), right.cpu().numpy()

    def gradients(self, inputs: tuple[Tensor, ...], dtype: str) -> dict[str, NDArray[np.float32]]:
        """What `step` hands to the optimizer."""
        self._mean_loss(inputs, dtype).backward()
        found = {name: _gradient(parameter) for name, parameter in self._parameters.items()}
        self._optimizer.zero_grad(set_to_none=True)
        return found

    def _mean_loss(self, inputs: tuple[Tensor, ...], dtype: str) -> Tensor:
        with self._autocast(dtype):
            return self._losses(*inputs).mean()

    def _autocast(self, dtype: str) -> torch.autocast:
        return torch.autocast(self._handle.type, dtype=torch.bfloat16, enabled=dtype == "bf16")

    def _put(self, array: NDArray[Any]) -> Tensor:
        tensor = torch.from_numpy(array)
        if self._handle.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self._handle, non_blocking=True)

    def _new_optimizer(self) -> torch.optim.AdamW:
        matrices = [parameter for parameter in self._parameters.values() if parameter.ndim > 1]
        vectors = [parameter for parameter in self._parameters.values() if parameter.ndim <= 1]
        return torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": self._adamw.weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=self._adamw.learning_rate,
            betas=(self._adamw.beta1, self._adamw.beta2),
            eps=self._adamw.epsilon,
            fused=True,
        )


def _in_order(model: Model) -> dict[str, nn.Parameter]:
    parameters = dict(model.named_parameters())
    return {name: parameters[name] for name in model.tensors()}


def _on_host(parameters: dict[str, nn.Parameter]) -> dict[str, NDArray[np.float32]]:
    return {name: parameter.detach().cpu().numpy().copy() for name, parameter in parameters.items()}


def _gradient(parameter: nn.Parameter) -> NDArray[np.float32]:
    """fp32 on the host; zeros where the loss does not depend on it."""
    if parameter.grad is None:
        return np.zeros(parameter.shape, dtype=np.float32)
    return parameter.grad.float().cpu().numpy().copy()
