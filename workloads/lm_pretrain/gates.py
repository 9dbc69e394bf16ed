"""The check before the clock: the timed graph's losses a token against the float64 reference.

Framework-free: an implementation is a function from host weights and tokens to losses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.records import GateResult
from oildrop.workloads.integers import bell_weights
from oildrop.workloads.lm_pretrain.reference import ModelShape, token_losses

Weights = Mapping[str, NDArray[np.float32]]
Losses = Callable[[Weights, NDArray[np.int32]], NDArray[np.floating]]


@dataclass(frozen=True, kw_only=True)
class Stepped:
    """What K training steps from given weights and a fresh optimizer came to.

    Attributes:
        losses_K: Mean loss of each step, nats a token.
        weights, average: After the last step, by canonical name; `average` is the running one that evaluations score.
    """

    losses_K: NDArray[np.float64]
    weights: Weights
    average: Weights


class Subject(Protocol):
    """What a framework's task lets the gates ask: always through the graphs that are timed.

    `dtype` is `fp32` (strict: no shortened products) or `bf16`. Arrays come and go on the host; results that were
    computed in a narrower type are widened to fp32.
    """

    def train_losses(self, weights: Weights, tokens_BS: NDArray[np.int32], dtype: str) -> NDArray[np.floating]:
        """-ln q in nats, [B, T], of one batch of the training shape through the training graph's forward pass."""

    def eval_losses(self, weights: Weights, tokens_NS: NDArray[np.int32], dtype: str) -> NDArray[np.floating]:
        """-ln q in nats, [N, T], through the evaluation's graph, in the evaluation's batches (wrapped at the end)."""

    def gradients(self, weights: Weights, tokens_BS: NDArray[np.int32], dtype: str) -> Weights:
        """Gradient of the batch's mean loss by canonical name, as the training step works it out."""

    def steps(self, weights: Weights, tokens_KBS: NDArray[np.int32], dtype: str) -> Stepped:
        """K training steps on given batches: the timed step, from step 0 of the schedule."""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What every implementation is asked at gate weights.

    Attributes:
        seed: Of the gate weights; no run's seed.
        weights_std: Standard deviation of every gate tensor; RMSNorm's scales are 1 plus such a tensor.
        tokens_NS: Documents of the source, int32 [N, S], start token first.
    """

    shape: ModelShape
    seed: int
    weights_std: float
    tokens_NS: NDArray[np.int32]

    def compare(self, losses: Losses, *, name: str, dtype: str, limit: float) -> GateResult:
        """Relative RMS of `losses` (nats, float [N, T]) against the reference's."""
        weights = gate_weights(self.shape, self.seed, self.weights_std)
        expected = token_losses(weights, self.tokens_NS, self.shape)
        value = relative_rms(losses(weights, self.tokens_NS), expected)
        shown: float | Literal["nan", "inf"] = value
        if not math.isfinite(value):
            shown = "nan" if math.isnan(value) else "inf"
        return GateResult(name=name, dtype=dtype, value=shown, limit=limit, passed=value <= limit)


def gate_weights(shape: ModelShape, seed: int, std: float) -> dict[str, NDArray[np.float32]]:
    """Weights under which every part of the model changes the losses, by canonical name."""
    weights = {name: bell_weights(seed, f"gate/{name}", size, std) for name, size in shape.tensors().items()}
    return {name: tensor + np.float32(tensor.ndim == 1) for name, tensor in weights.items()}


def relative_rms(found: NDArray[np.floating], expected: NDArray[np.float64]) -> float:
    """Root mean square of the difference over that of `expected`; `inf` or `nan` where `found` is not finite."""
    if not np.isfinite(found).all():
        return math.nan if np.isnan(found).any() else math.inf
    difference = found.astype(np.float64) - expected
    return float(np.sqrt(np.mean(difference**2) / np.mean(expected**2)))
