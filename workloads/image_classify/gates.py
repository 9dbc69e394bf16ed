"""The check before the clock: the timed graph's losses against the float64 reference.

Framework-free: an implementation is a function from host weights, images and labels to losses an image.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.records import GateResult
from oildrop.workloads.image_classify import reference
from oildrop.workloads.image_classify.augment import as_input
from oildrop.workloads.image_classify.data import Digits
from oildrop.workloads.image_classify.reference import ModelConfig

Losses = Callable[[dict[str, NDArray[np.float32]], Digits], NDArray[np.floating]]
Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Stepped:
    """What K training steps from given weights and a fresh optimizer came to.

    Attributes:
        losses_K: Mean loss of each step, nats an image.
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

    def train_losses(self, weights: Weights, batch: Digits, dtype: str) -> NDArray[np.floating]:
        """Cross-entropy of each image in nats, [B], of one batch of the training shape through the training graph."""

    def eval_losses(self, weights: Weights, batch: Digits, dtype: str) -> NDArray[np.floating]:
        """Cross-entropy of each image in nats, [B], of one batch through the evaluation's graph."""

    def gradients(self, weights: Weights, batch: Digits, dtype: str) -> Weights:
        """Gradient of the batch's mean loss by canonical name, as the training step works it out."""

    def steps(self, weights: Weights, batches_K: Sequence[Digits], dtype: str) -> Stepped:
        """K training steps on given batches: the timed step, from step 0 of the schedule."""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What every implementation is asked at gate weights.

    Attributes:
        seed: Of the gate weights; no run's seed.
        weights_std: Standard deviation of every gate tensor.
        sample: Augmented training images of the gate seed.
    """

    config: ModelConfig
    seed: int
    weights_std: float
    sample: Digits

    def compare(self, losses: Losses, *, name: str, dtype: str, limit: float) -> GateResult:
        """Relative RMS of `losses` (float [N], nats an image) against the reference's."""
        value = relative_rms(losses(self._weights, self.sample), self._expected)
        shown: float | Literal["nan", "inf"] = value
        if not math.isfinite(value):
            shown = "nan" if math.isnan(value) else "inf"
        return GateResult(name=name, dtype=dtype, value=shown, limit=limit, passed=value <= limit)

    @functools.cached_property
    def _weights(self) -> dict[str, NDArray[np.float32]]:
        return reference.gate_weights(self.config, self.seed, self.weights_std)

    @functools.cached_property
    def _expected(self) -> NDArray[np.float64]:
        return reference.image_losses(self.config, self._weights, as_input(self.sample.images), self.sample.labels)


def relative_rms(found: NDArray[np.floating], expected: NDArray[np.float64]) -> float:
    """Root mean square of the difference over that of `expected`; `inf` or `nan` where `found` is not finite."""
    if not np.isfinite(found).all():
        return math.nan if np.isnan(found).any() else math.inf
    difference = found.astype(np.float64) - expected
    return float(np.sqrt(np.mean(difference**2) / np.mean(expected**2)))
