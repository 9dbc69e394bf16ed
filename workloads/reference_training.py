"""Training steps in float64 NumPy: what an engine's first steps are compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.engine import AdamW, Inputs

Array = NDArray[np.float64]

GradientOf = Callable[[Mapping[str, NDArray[Any]], Inputs], tuple[float, Mapping[str, Array]]]
"""Mean loss of a batch in nats and its gradient by canonical name, float64, at weights of any float type."""


@dataclass(frozen=True, kw_only=True)
class Stepped:
    """What K optimizer steps left.

    Attributes:
        losses_K: Mean loss in nats of each step's batch, at the weights before that step.
        weights: After the last step, by canonical name.
        average: Their running average, likewise.
    """

    losses_K: Array
    weights: dict[str, Array]
    average: dict[str, Array]


def train(
    gradient_of: GradientOf, weights: Mapping[str, NDArray[Any]], batches: Iterable[Inputs], optimizer: AdamW
) -> Stepped:
    """One step a batch from `weights`, which are also the average's start; all in float64.

    Step k, 0 the first, has the rate `optimizer.rate(k)`; afterwards
    average += (1 - `optimizer.average_decay`) * (weights - average).
    """
    moved = {name: tensor.astype(np.float64) for name, tensor in weights.items()}
    average = dict(moved)
    moments = {name: (np.zeros(tensor.shape), np.zeros(tensor.shape)) for name, tensor in moved.items()}
    losses = []
    for step, batch in enumerate(batches):
        loss, gradients = gradient_of(moved, batch)
        losses.append(loss)
        for name in weights:
            moments[name] = updated_moments(moments[name], gradients[name], optimizer)
            moved[name] = updated(moved[name], moments[name], step, optimizer)
            average[name] = average[name] + (1 - optimizer.average_decay) * (moved[name] - average[name])
    return Stepped(losses_K=np.array(losses, dtype=np.float64), weights=moved, average=average)


def updated_moments(moments: tuple[Array, Array], gradient: Array, optimizer: AdamW) -> tuple[Array, Array]:
    """The running means m of the gradient and v of its square, as `engine.AdamW` has them."""
    m, v = moments
    return (
        optimizer.beta1 * m + (1 - optimizer.beta1) * gradient,
        optimizer.beta2 * v + (1 - optimizer.beta2) * gradient**2,
    )


def updated(tensor: Array, moments: tuple[Array, Array], step: int, optimizer: AdamW) -> Array:
    """`tensor` after `step`, 0 the first, given the moments that this step's gradient is already in."""
    m, v = moments
    unbiased_m = m / (1 - optimizer.beta1 ** (step + 1))
    unbiased_v = v / (1 - optimizer.beta2 ** (step + 1))
    decay = optimizer.weight_decay if tensor.ndim > 1 else 0.0
    return tensor - optimizer.rate(step) * (unbiased_m / (np.sqrt(unbiased_v) + optimizer.epsilon) + decay * tensor)
