"""Any model in JAX: one compiled step of gradient, AdamW and running average (see `engine.Engine`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax  # type: ignore[import-untyped]
from jax import Array, ShapeDtypeStruct
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding
from numpy.typing import NDArray

from oildrop.rules.errors import Unsupported
from oildrop.workloads.compiler_jax import require_supported
from oildrop.workloads.engine import KINDS, AdamW, Inputs, Weights, adamw_of, state_of, tensors_in
from oildrop.workloads.engine import State as Snapshot
from oildrop.workloads.products_jax import PRODUCT_DTYPES
from oildrop.workloads.protocols import Device, Settings
from oildrop.workloads.shares import Placed, items_of, placed, repeated

Tensors = Mapping[str, Array]


class Model(Protocol):
    """What a model file makes: pure functions of weights and inputs, whose products are in `dtype`."""

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor by canonical name, in canonical order."""

    def losses(self, weights: Tensors, *inputs: Array, dtype: str) -> Array:
        """Loss of each scored item, nats, fp32."""

    def score(self, weights: Tensors, *inputs: Array, dtype: str) -> tuple[Array, Array]:
        """The losses, and whether the likeliest answer was right."""


class State(NamedTuple):
    """What a step replaces: fp32 tensors by canonical name, and the optimizer's moments."""

    weights: dict[str, Array]
    average: dict[str, Array]
    moments: optax.ScaleByAdamState


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where arrays lie: `batch` for inputs (cut along their first axis), `weights` for whatever a step keeps."""

    batch: Sharding
    weights: Sharding


def one_device(device: jax.Device) -> Layout:
    """All on `device`."""
    whole = SingleDeviceSharding(device)
    return Layout(batch=whole, weights=whole)


def data_parallel(devices: Sequence[jax.Device]) -> Layout:
    """An equal share of each batch on each of `devices`, and all weights on every one."""
    mesh = Mesh(np.array(devices), ("data",))
    return Layout(batch=NamedSharding(mesh, PartitionSpec("data")), weights=NamedSharding(mesh, PartitionSpec()))


def layout_of(settings: Settings, device: Device) -> Layout:
    """The layout on `device` and as many of its neighbours as `execution.devices` says.

    Raises:
        Unsupported: This process sees too few, or weights are to be cut.
    """
    count, sharding = int(settings.get("execution.devices", 1)), settings.get("execution.sharding", "replicated")
    if sharding != "replicated":
        raise Unsupported(
            f"execution.sharding is {sharding}: this engine keeps whole weights on each device; "
            "use execution.sharding=replicated, or a torch backend"
        )
    if count == 1:
        return one_device(device.handle)
    found = jax.local_devices()
    if len(found) < count:
        raise Unsupported(f"execution.devices is {count}, JAX finds {len(found)} of {device.backend} in this process")
    return data_parallel(found[:count])


def state_shapes(model: Model) -> State:
    """The state's shapes without its values, to compile a step ahead of time."""
    shapes: Any = {name: ShapeDtypeStruct(shape, jnp.float32) for name, shape in model.tensors().items()}
    return State(weights=shapes, average=shapes, moments=jax.eval_shape(optax.scale_by_adam().init, shapes))


def loss_gradient(model: Model, dtype: str) -> Callable[[Tensors, tuple[Array, ...]], tuple[Array, dict[str, Array]]]:
    """The function from weights and inputs to the losses and the gradient of their mean by canonical name."""

    def mean_loss(weights: Tensors, inputs: tuple[Array, ...]) -> tuple[Array, Array]:
        losses = model.losses(weights, *inputs, dtype=dtype)
        return losses.mean(), losses

    def gradient(weights: Tensors, inputs: tuple[Array, ...]) -> tuple[Array, dict[str, Array]]:
        found, losses = jax.grad(mean_loss, has_aux=True)(weights, inputs)
        return losses, found

    return gradient


def train_step(
    model: Model, adamw: AdamW, dtype: str
) -> Callable[[State, tuple[Array, ...], Array], tuple[State, Array]]:
    """The function from state, inputs and learning rate to the next state and the mean loss."""
    gradient = loss_gradient(model, dtype)
    adam = optax.scale_by_adam(b1=adamw.beta1, b2=adamw.beta2, eps=adamw.epsilon, eps_root=0.0)

    def moved(weight: Array, direction: Array, rate: Array) -> Array:
        decay = adamw.weight_decay if weight.ndim > 1 else 0.0
        return weight - rate * (direction + decay * weight)

    def step(state: State, inputs: tuple[Array, ...], rate: Array) -> tuple[State, Array]:
        losses, found = gradient(state.weights, inputs)
        directions, moments = adam.update(found, state.moments)
        weights = jax.tree.map(lambda weight, direction: moved(weight, direction, rate), state.weights, directions)
        share = 1.0 - adamw.average_decay
        average = jax.tree.map(lambda mean, weight: mean + share * (weight - mean), state.average, weights)
        return State(weights=weights, average=average, moments=moments), losses.mean()

    return step


class JaxEngine:
    """The `Engine` of JAX on CPU, CUDA, ROCm or TPU devices, one or several in one process.

    JAX always compiles: `execution.compile = "eager"`, the setting's default, means XLA's one graph a step here too.
    State lies in buffers that each step takes over from the one before (donation), so that weights, average and
    moments are in memory once. On the CPU XLA keeps a thread for each processor of the process's affinity mask;
    `execution.threads = 0` takes them as they are.

    Args:
        layout: Where inputs and state lie; by default as `execution.devices` says.
    """

    def __init__(self, model: Model, settings: Settings, device: Device, layout: Layout | None = None) -> None:
        self._model = model
        self._settings = settings
        self._device = device
        self._layout = layout
        self._adamw = adamw_of(settings)

    def build(self) -> None:
        """Make the graphs; each is compiled at its first call. Raises Unsupported for what XLA cannot be told."""
        require_supported(self._settings)
        self._where = self._layout or layout_of(self._settings, self._device)
        state = self._where.weights
        self._steps = {
            dtype: jax.jit(train_step(self._model, self._adamw, dtype), donate_argnums=0, out_shardings=(state, None))
            for dtype in PRODUCT_DTYPES
        }
        self._gradients = {dtype: jax.jit(loss_gradient(self._model, dtype)) for dtype in PRODUCT_DTYPES}
        self._score = {dtype: jax.jit(partial(self._model.score, dtype=dtype)) for dtype in PRODUCT_DTYPES}

    def set_weights(self, weights: Weights) -> None:
        """Copy `weights` into two sets of buffers; the moments start at zero."""
        mine, mean = (jax.device_put(self._copies(weights), self._where.weights) for _ in range(2))
        moments = jax.device_put(optax.scale_by_adam().init(mine), self._where.weights)
        self._state = State(weights=mine, average=mean, moments=moments)

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """The newest weights on the host."""
        return self._copies(self._state.weights)

    def average(self) -> dict[str, NDArray[np.float32]]:
        """Their running average on the host."""
        return self._copies(self._state.average)

    def snapshot(self) -> Snapshot:
        """The state's own tensors."""
        weights, average, moments = self._state
        tensors = {"weights": weights, "average": average, "moment1": moments.mu, "moment2": moments.nu}
        return state_of(int(moments.count), **{kind: self._copies(named) for kind, named in tensors.items()})

    def restore(self, state: Snapshot) -> None:
        """Into buffers of its own."""
        step, tensors = tensors_in(state)
        weights, average, mu, nu = (jax.device_put(self._copies(tensors[kind]), self._where.weights) for kind in KINDS)
        count = jax.device_put(np.int32(step), self._where.weights)
        moments = optax.ScaleByAdamState(count=count, mu=mu, nu=nu)
        self._state = State(weights=weights, average=average, moments=moments)

    def agreed(self, flag: bool) -> bool:
        """One process drives all devices."""
        return flag

    def put(self, inputs: Inputs) -> Placed[Array]:
        """Arrays on the device, or cut among the devices; the copy goes on behind the call."""
        whole = repeated(inputs, self._where.batch.num_devices)
        return placed(jax.device_put(whole, self._where.batch), items_of(inputs))

    def step(self, inputs: Placed[Array], rate: float, dtype: str) -> Array:
        """Forward, backward, AdamW and average in one graph; the call returns before they have run."""
        self._state, loss = self._steps[dtype](self._state, tuple(inputs), np.float32(rate))
        return loss

    def value(self, loss: Array) -> float:
        """The loss once the device has it."""
        return float(loss)

    def losses(self, inputs: Placed[Array], dtype: str) -> NDArray[np.float32]:
        """As the function that `step` differentiates gives them, beside the gradient."""
        losses, _ = self._gradients[dtype](self._state.weights, tuple(inputs))
        return np.array(losses)[: inputs.items]

    def score(self, inputs: Placed[Array], dtype: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Through the evaluation's graph."""
        losses, right = self._score[dtype](self._state.average, *inputs)
        return np.array(losses)[: inputs.items], np.array(right)[: inputs.items]

    def gradients(self, inputs: Placed[Array], dtype: str) -> dict[str, NDArray[np.float32]]:
        """What `step` hands to the optimizer."""
        _, gradient = self._gradients[dtype](self._state.weights, tuple(inputs))
        return self._copies(gradient)

    def _copies(self, tensors: Mapping[str, Array | NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """On the host, in canonical order (JAX sorts names); on the CPU anything less than a copy shares its memory."""
        return {name: np.array(tensors[name]) for name in self._model.tensors()}
