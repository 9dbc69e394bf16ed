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
from oildrop.workloads.engine import Inputs, State, Weights, adamw_of, state_of, tensors_in
from oildrop.workloads.parallel_torch import fill, local, on_host, ranks_of
from oildrop.workloads.protocols import Device, Settings
from oildrop.workloads.shares import Placed, items_of, placed


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


MOMENTS = {"moment1": "exp_avg", "moment2": "exp_avg_sq"}
"""What the optimizer keeps beside its count of steps, by the name that a snapshot gives it."""


class TorchEngine:
    """The `Engine` of PyTorch on a CPU, CUDA, ROCm or Metal device, or on several with a process for each.

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
        """Move the model, copy it for the average, lay both out among the ranks, and compile where that is declared.

        Ranks share the processor's cores; `execution.threads` is a rank's own number.
        """
        self._ranks = ranks_of(self._settings, self._handle)
        threads = int(self._settings["execution.threads"]) or physical_cores() // self._ranks.count
        torch.set_num_threads(max(1, threads))
        self._model.to(self._handle)
        self._mean = copy.deepcopy(self._model).requires_grad_(False)
        self._ranks.spread(self._model)
        self._ranks.spread(self._mean)
        self._parameters, self._averages = _in_order(self._model), _in_order(self._mean)
        self._local_parameters = [local(parameter.detach()) for parameter in self._parameters.values()]
        self._local_averages = [local(average) for average in self._averages.values()]
        self._optimizer = self._new_optimizer()
        self._losses, self._score = self._model.losses, self._mean.score
        if self._settings["execution.compile"] == "inductor":
            require_compiler()
            self._losses = torch.compile(self._losses, dynamic=False)
            self._score = torch.compile(self._score, dynamic=False)
        self._losses = self._ranks.averaging(self._losses, self._model)

    def set_weights(self, weights: Weights) -> None:
        """Copy `weights` into model and average; the optimizer starts over."""
        with torch.no_grad():
            for parameters in (self._parameters, self._averages):
                for name, parameter in parameters.items():
                    fill(parameter, weights[name])
        self._optimizer = self._new_optimizer()

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """The newest weights on the host."""
        return _on_host(self._parameters)

    def average(self) -> dict[str, NDArray[np.float32]]:
        """Their running average on the host."""
        return _on_host(self._averages)

    def snapshot(self) -> State:
        """Collected from the optimizer a tensor; all ranks must ask at once where weights are cut."""
        kept = [self._optimizer.state[parameter] for parameter in self._parameters.values()]
        moments = {
            kind: {name: on_host(state[key]) for name, state in zip(self._parameters, kept, strict=True)}
            for kind, key in MOMENTS.items()
        }
        return state_of(int(kept[0]["step"]), weights=self.weights(), average=self.average(), **moments)

    def restore(self, state: State) -> None:
        """Into a new optimizer."""
        step, tensors = tensors_in(state)
        self.set_weights(tensors["weights"])
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                fill(self._averages[name], tensors["average"][name])
                moments = {key: torch.zeros_like(parameter) for key in MOMENTS.values()}
                for kind, key in MOMENTS.items():
                    fill(moments[key], tensors[kind][name])
                count = torch.tensor(float(step), dtype=torch.float32, device=self._handle)
                self._optimizer.state[parameter] = {"step": count, **moments}

    def agreed(self, flag: bool) -> bool:
        """What rank 0 says."""
        return self._ranks.agreed(flag)

    def put(self, inputs: Inputs) -> Placed[Tensor]:
        """This rank's share on its device; from pinned memory without waiting where the device has its own."""
        return placed(tuple(self._put(array) for array in self._ranks.share(inputs)), items_of(inputs))

    def step(self, inputs: Placed[Tensor], rate: float, dtype: str) -> Tensor:
        """Forward, backward, AdamW and average; nothing waits for the device."""
        loss = self._mean_loss(inputs, dtype)
        loss.backward()
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            share = 1.0 - self._adamw.average_decay
            torch._foreach_lerp_(self._local_averages, self._local_parameters, share)
        return loss.detach()

    def value(self, loss: Tensor) -> float:
        """The loss once the device has it: the mean over the ranks, the same on each."""
        return float(self._ranks.mean(loss).item())

    def losses(self, inputs: Placed[Tensor], dtype: str) -> NDArray[np.float32]:
        """Through the graph of `step`, with gradients tracked as there."""
        with self._autocast(dtype):
            losses = self._losses(*inputs).detach()
        return self._ranks.gather(losses)[: inputs.items].cpu().numpy()

    def score(self, inputs: Placed[Tensor], dtype: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Through the evaluation's graph."""
        with torch.no_grad(), self._autocast(dtype):
            scored = [self._ranks.gather(part)[: inputs.items].cpu().numpy() for part in self._score(*inputs)]
        return scored[0], scored[1]

    def gradients(self, inputs: Placed[Tensor], dtype: str) -> dict[str, NDArray[np.float32]]:
        """What `step` hands to the optimizer."""
        self._mean_loss(inputs, dtype).backward()
        found = {name: _gradient(parameter) for name, parameter in self._parameters.items()}
        self._optimizer.zero_grad(set_to_none=True)
        return found

    def _mean_loss(self, inputs: Placed[Tensor], dtype: str) -> Tensor:
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
    return {name: on_host(parameter) for name, parameter in parameters.items()}


def _gradient(parameter: nn.Parameter) -> NDArray[np.float32]:
    """fp32 on the host; zeros where the loss does not depend on it."""
    if parameter.grad is None:
        return np.zeros(parameter.shape, dtype=np.float32)
    return on_host(parameter.grad)
