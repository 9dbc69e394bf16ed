"""Any model in MLX: AdamW, running average and compiled graphs around it (see `engine.Engine`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import mlx.core as mx
import numpy as np
from mlx import optimizers
from mlx.nn.utils import average_gradients
from numpy.typing import NDArray

from oildrop.rules.errors import Unsupported
from oildrop.workloads.compiler_mlx import require_supported
from oildrop.workloads.engine import AdamW, Inputs, State, Weights, adamw_of, state_of, tensors_in
from oildrop.workloads.products_mlx import PRODUCT_DTYPES
from oildrop.workloads.protocols import Device, Settings
from oildrop.workloads.shares import Placed, items_of, placed, share

Tensors = Mapping[str, mx.array]

MOMENTS = {"moment1": "m", "moment2": "v"}
"""What the optimizer keeps of each tensor, by the name that a snapshot gives it."""


class Model(Protocol):
    """What a model file makes: pure functions of weights and inputs."""

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor by canonical name, in canonical order."""

    def losses(self, weights: Tensors, *inputs: mx.array, dtype: str) -> mx.array:
        """Loss of each scored item, nats, fp32."""

    def score(self, weights: Tensors, *inputs: mx.array, dtype: str) -> tuple[mx.array, mx.array]:
        """The losses, and whether the likeliest answer was right."""


class MlxEngine:
    """The `Engine` of MLX on a CPU, Metal or CUDA device, or on several with a process for each.

    Several processes hold whole weights each and average their gradients inside the compiled step.

    Every graph goes through `mx.compile`: `execution.compile = "eager"` means MLX's own compiler, which has no other
    word. On a Linux CPU it fuses elementwise kernels where a C++ compiler is at hand and leaves them apart elsewhere.
    """

    def __init__(self, model: Model, settings: Settings, device: Device) -> None:
        self._model = model
        self._settings = settings
        self._device = device
        self._adamw = adamw_of(settings)

    def build(self) -> None:
        """Make state and graphs on the device. Raises Unsupported for a compiler or thread count that MLX lacks."""
        require_supported(self._settings)
        mx.set_default_device(self._device.handle)
        self._group = _group_of(self._settings, self._device)
        self._weights = {name: mx.zeros(shape) for name, shape in self._model.tensors().items()}
        self._average = dict(self._weights)
        self._parts = _parts(self._adamw, self._weights)
        self._state = [self._weights, self._average, [optimizer.state for optimizer, _ in self._parts]]
        self._steps = {dtype: self._compiled_step(dtype) for dtype in PRODUCT_DTYPES}
        self._losses = {dtype: _compiled(self._model.losses, dtype) for dtype in PRODUCT_DTYPES}
        self._score = {dtype: _compiled(self._model.score, dtype) for dtype in PRODUCT_DTYPES}
        self._gradients = {dtype: mx.compile(mx.grad(_mean_loss(self._model, dtype))) for dtype in PRODUCT_DTYPES}

    def set_weights(self, weights: Weights) -> None:
        """Give both copies these values; the compiled step holds the containers, so they are changed in place."""
        for name in self._weights:
            self._weights[name] = self._average[name] = mx.array(weights[name])
        for optimizer, names in self._parts:
            optimizer.state["step"] = mx.zeros_like(optimizer.step)
            for name in names:
                optimizer.init_single(self._weights[name], optimizer.state[name])
        mx.eval(self._state)

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """The newest weights on the host."""
        return _on_host(self._weights)

    def average(self) -> dict[str, NDArray[np.float32]]:
        """Their running average on the host."""
        return _on_host(self._average)

    def snapshot(self) -> State:
        """The containers that the compiled step fills."""
        moments = {
            kind: {name: optimizer.state[name][key] for optimizer, names in self._parts for name in names}
            for kind, key in MOMENTS.items()
        }
        return state_of(
            int(self._parts[0][0].step.item()),
            weights=self.weights(),
            average=self.average(),
            **{kind: _on_host(tensors) for kind, tensors in moments.items()},
        )

    def restore(self, state: State) -> None:
        """Into the same containers."""
        step, tensors = tensors_in(state)
        self.set_weights(tensors["weights"])
        for name in self._average:
            self._average[name] = mx.array(tensors["average"][name])
        for optimizer, names in self._parts:
            optimizer.state["step"] = mx.array(step, dtype=optimizer.step.dtype)
            for name in names:
                for kind, key in MOMENTS.items():
                    optimizer.state[name][key] = mx.array(tensors[kind][name])
        mx.eval(self._state)

    def agreed(self, flag: bool) -> bool:
        """What rank 0 says."""
        mine = mx.array(int(flag and self._group.rank() == 0))
        return bool(mx.distributed.all_sum(mine, group=self._group).item())

    def put(self, inputs: Inputs) -> Placed[mx.array]:
        """This rank's share in memory that the device reads."""
        mine = share(inputs, self._group.rank(), self._group.size())
        return placed(tuple(mx.array(array) for array in mine), items_of(inputs))

    def step(self, inputs: Placed[mx.array], rate: float, dtype: str) -> mx.array:
        """Forward, backward, AdamW and average in one graph, given to the device at once."""
        for optimizer, _ in self._parts:
            optimizer.learning_rate = rate
        loss = self._steps[dtype](*inputs)
        # MLX is lazy: without this nothing would run until the loss is read.
        mx.async_eval(loss, self._state)  # type: ignore[no-untyped-call]
        return loss

    def value(self, loss: mx.array) -> float:
        """The loss once the device has it: the mean over the ranks, the same on each."""
        return float(np.array(self._mean(loss)))

    def losses(self, inputs: Placed[mx.array], dtype: str) -> NDArray[np.float32]:
        """The forward pass of `step`."""
        return np.array(self._gathered(self._losses[dtype](self._weights, *inputs)))[: inputs.items]

    def score(self, inputs: Placed[mx.array], dtype: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Through the evaluation's graph."""
        losses, right = (self._gathered(part) for part in self._score[dtype](self._average, *inputs))
        mx.eval(losses, right)
        return np.array(losses)[: inputs.items], np.array(right)[: inputs.items]

    def gradients(self, inputs: Placed[mx.array], dtype: str) -> dict[str, NDArray[np.float32]]:
        """What `step` hands to the optimizer."""
        return _on_host(self._averaged(self._gradients[dtype](self._weights, *inputs)))

    def _averaged(self, gradients: Tensors) -> dict[str, mx.array]:
        """Over all ranks, many tensors in one exchange; as a list, because MLX takes dots in names for a tree's."""
        means = average_gradients(list(gradients.values()), self._group)
        return dict(zip(gradients, means, strict=True))

    def _mean(self, tensor: mx.array) -> mx.array:
        """Over all ranks, on each of them."""
        if self._group.size() == 1:
            return tensor
        return mx.distributed.all_sum(tensor, group=self._group) / self._group.size()

    def _gathered(self, part: mx.array) -> mx.array:
        """Every rank's part, in order of the ranks, on each of them."""
        return part if self._group.size() == 1 else mx.distributed.all_gather(part, group=self._group)

    def _compiled_step(self, dtype: str) -> Callable[..., mx.array]:
        mean_loss_and_gradients = mx.value_and_grad(_mean_loss(self._model, dtype))
        share = 1.0 - self._adamw.average_decay

        def step(*inputs: mx.array) -> mx.array:
            loss, gradients = mean_loss_and_gradients(self._weights, *inputs)
            gradients = self._averaged(gradients)
            for optimizer, names in self._parts:
                its_gradients = {name: gradients[name] for name in names}
                self._weights.update(optimizer.apply_gradients(its_gradients, self._weights))
            for name, average in self._average.items():
                self._average[name] = average + share * (self._weights[name] - average)
            return loss

        return mx.compile(step, inputs=self._state, outputs=self._state)


def _group_of(settings: Settings, device: Device) -> mx.distributed.Group:
    """This process among those that `mlx.launch` started; alone where one device is asked for.

    Raises:
        Unsupported: Another number of processes was started, or weights are to be cut.
    """
    count, sharding = int(settings.get("execution.devices", 1)), settings.get("execution.sharding", "replicated")
    if sharding != "replicated":
        raise Unsupported(
            f"execution.sharding is {sharding}: this engine keeps whole weights on each device; "
            "use execution.sharding=replicated, or a torch backend"
        )
    backend = "nccl" if device.backend == "mlx-cuda" else "ring"
    group = mx.distributed.init(strict=count > 1, backend=backend if count > 1 else "any")
    if group.size() != count:
        raise Unsupported(
            f"execution.devices is {count}, the launcher started {group.size()} processes; use `oildrop run`"
        )
    return group


def _parts(adamw: AdamW, weights: Tensors) -> tuple[tuple[optimizers.AdamW, list[str]], ...]:
    """An optimizer that decays and the matrices' names, one that does not and the vectors' names."""
    decays = {True: adamw.weight_decay, False: 0.0}
    return tuple(
        _part(adamw, decay, {name: w for name, w in weights.items() if (w.ndim > 1) is is_matrix})
        for is_matrix, decay in decays.items()
    )


def _part(adamw: AdamW, decay: float, weights: dict[str, mx.array]) -> tuple[optimizers.AdamW, list[str]]:
    optimizer = optimizers.AdamW(
        learning_rate=adamw.learning_rate,
        betas=[adamw.beta1, adamw.beta2],
        eps=adamw.epsilon,
        weight_decay=decay,
        bias_correction=True,
    )
    optimizer.init(weights)
    return optimizer, list(weights)


def _mean_loss(model: Model, dtype: str) -> Callable[..., mx.array]:
    def mean_loss(weights: Tensors, *inputs: mx.array) -> mx.array:
        return model.losses(weights, *inputs, dtype=dtype).mean()

    return mean_loss


def _compiled(function: Callable[..., Any], dtype: str) -> Callable[..., Any]:
    return mx.compile(lambda weights, *inputs: function(weights, *inputs, dtype=dtype))


def _on_host(tensors: Tensors) -> dict[str, NDArray[np.float32]]:
    mx.eval(tensors)
    return {name: np.array(tensor) for name, tensor in tensors.items()}
