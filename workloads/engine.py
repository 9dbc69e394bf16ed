"""What a framework must do for any benchmark: one engine a framework, one model file a benchmark and framework.

An engine holds the weights, their running average and the optimizer's state on one device. The task (framework-free,
`training.py`) decides what happens when; gates ask the same methods, so that what is checked is what is timed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.protocols import Settings

Weights = Mapping[str, NDArray[np.float32]]
"""Host tensors by canonical name."""

Inputs = tuple[NDArray[Any], ...]
"""What a model takes, on the host: float32 or int32 arrays whose first axis is the batch."""

State = Mapping[str, NDArray[Any]]
"""All that steps change, on the host: `<kind>/<name>` for each kind of tensor, and `step`, the optimizer's count."""

KINDS = ("weights", "average", "moment1", "moment2")
"""Newest weights, their running average, and AdamW's moments m and v."""


def state_of(step: int, **tensors: Weights) -> dict[str, NDArray[Any]]:
    """A snapshot after `step` optimizer steps, of the tensors of each kind."""
    named = {f"{kind}/{name}": array for kind in KINDS for name, array in tensors[kind].items()}
    return {"step": np.array(step), **named}


def tensors_in(state: State) -> tuple[int, dict[str, dict[str, NDArray[np.float32]]]]:
    """The step of a snapshot, and its tensors by kind and canonical name."""
    found: dict[str, dict[str, NDArray[np.float32]]] = {kind: {} for kind in KINDS}
    for key, array in state.items():
        kind, _, name = key.partition("/")
        if kind in found:
            found[kind][name] = array
    return int(state["step"]), found


class Engine(Protocol):
    """A model with its optimizer and its graphs in one framework on one device, or in parts on several.

    The constructor is `Engine(model, settings, device)`: it stores them and nothing else. `dtype` is `fp32` (strict:
    no shortened products, whatever the framework's default) or `bf16` (matrix products in bfloat16; weights,
    optimizer, residual stream and losses stay fp32). What lies on the device is opaque to the caller.
    """

    def build(self) -> None:
        """Make weights, average, optimizer and graphs. Raises Unsupported where `execution.compile` cannot be had."""

    def set_weights(self, weights: Weights) -> None:
        """Give weights and average these values, and start with an optimizer that has seen nothing."""

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """The newest weights on the host, fp32, in canonical order."""

    def average(self) -> dict[str, NDArray[np.float32]]:
        """The running average that evaluations score, likewise."""

    def snapshot(self) -> State:
        """All that steps have changed, after at least one of them; waits for the device."""

    def restore(self, state: State) -> None:
        """Go on, to the bit, from where `state` was taken."""

    def agreed(self, flag: bool) -> bool:
        """`flag` of rank 0 where several processes work together, so that all do the same; else `flag` itself."""

    def put(self, inputs: Inputs) -> Any:
        """`inputs` on the device; returns without waiting where the device can copy meanwhile.

        On several devices each gets its share of the batch (see `shares`).
        """

    def step(self, inputs: Any, rate: float, dtype: str) -> Any:
        """Enqueue one optimizer step at learning rate `rate`; returns the mean loss, a scalar on the device.

        The timed step: AdamW (`optimizer.beta1`, `beta2`, `epsilon`, bias-corrected; decoupled `weight_decay` on
        tensors of two or more axes), then average += (1 - `optimizer.average_decay`) * (weights - average).
        """

    def value(self, loss: Any) -> float:
        """A step's loss on the host, nats; waits for the device."""

    def losses(self, inputs: Any, dtype: str) -> NDArray[np.float32]:
        """The loss of each scored item in nats at the newest weights, through the training graph's forward pass."""

    def score(self, inputs: Any, dtype: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Loss of each scored item at the averaged weights, and whether the likeliest answer was right."""

    def gradients(self, inputs: Any, dtype: str) -> dict[str, NDArray[np.float32]]:
        """Gradient of the batch's mean loss at the newest weights by canonical name, as the step works it out."""


@dataclass(frozen=True, kw_only=True)
class AdamW:
    """The optimizer's constants as the `optimizer.*` settings name them.

    The formula, in every framework and in the float64 reference, for step t = 1, 2, … of a tensor w with gradient g:
    m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2;
    w -= rate * (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + epsilon) + decay * w); decay is 0 where w has one axis.

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2.
    """

    learning_rate: float
    warmup_steps: int
    beta1: float
    beta2: float
    epsilon: float
    weight_decay: float
    average_decay: float

    def rate(self, step: int) -> float:
        """The rate of optimizer step `step`, 0 the first: linear up over `warmup_steps`, then constant."""
        return self.learning_rate * min(1.0, (step + 1) / max(1, self.warmup_steps))


def adamw_of(settings: Settings) -> AdamW:
    """The constants in `settings`."""
    named = {key: float(settings[f"optimizer.{key}"]) for key in AdamW.__annotations__ if key != "warmup_steps"}
    return AdamW(**named, warmup_steps=int(settings["optimizer.warmup_steps"]))
