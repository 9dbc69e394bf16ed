"""`lm-pretrain` free of any framework: documents, first weights, and the reference for its gates.

Shape suffixes: B documents of a batch, N held-out documents, S = T + 1 tokens of a document with its start token.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.engine import Inputs, Weights
from oildrop.workloads.gates import GateCase, Tensors
from oildrop.workloads.lm_pretrain import data
from oildrop.workloads.lm_pretrain.reference import (
    gate_weights,
    initial_std_of,
    initial_weights,
    shape_of,
    token_losses,
)
from oildrop.workloads.lm_pretrain.reference_gradient import mean_loss_gradient
from oildrop.workloads.protocols import Settings
from oildrop.workloads.training import Batch, HeldOut, wrapped


class LmPretrain:
    """The `Lesson` of `lm-pretrain`; a batch is (tokens int32 [B, S],)."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def samples_per_step(self) -> int:
        """Documents a step."""
        return self._int("data.documents_per_batch")

    @property
    def tokens_per_sample(self) -> int:
        """T, the scored tokens of a document."""
        return self._int("data.document_tokens")

    @property
    def samples_per_score(self) -> int:
        """Documents scored at once."""
        return self._int("evaluation.documents_per_batch")

    def load(self) -> None:
        """Make the language's tables, or open the texts."""
        self._source = data.source_of(self._settings)
        self._shape = shape_of(self._settings)

    def held_out(self) -> HeldOut:
        """Documents of a stream of their own, which no run trains on whatever its seed."""
        count = self._int("evaluation.documents")
        tokens_NS, information_N = self._source.documents(self._int("evaluation.seed"), 0, count, part="held-out")
        return HeldOut(
            batch=(tokens_NS,),
            source_nats=information_N,
            token_count=np.full(count, self.tokens_per_sample, dtype=np.int64),
        )

    def batches(self, seed: int) -> Iterator[Batch]:
        """Documents k B to (k + 1) B - 1 of `seed`, generated a block at a time."""
        training = data.TrainingData(self._source, seed, self.samples_per_step)
        while True:
            block_NS = training.next_block()
            for start in range(0, len(block_NS), self.samples_per_step):
                yield (block_NS[start : start + self.samples_per_step],)

    def synthetic_batch(self) -> Batch:
        """A fixed pattern of tokens."""
        return (data.synthetic_batch(self._source, self.samples_per_step),)

    def inputs(self, batch: Batch) -> Inputs:
        """The tokens themselves."""
        return batch

    def initial_weights(self, seed: int) -> Weights:
        """From integers, with the settings' standard deviations."""
        return initial_weights(self._shape, seed, initial_std_of(self._settings))

    def gate_case(self) -> GateCase:
        """Documents of the gate seed, and the float64 decoder."""
        seed, size = self._int("gates.seed"), self.samples_per_step
        asked = self._int("gates.documents")
        steps = self._int("gates.steps")
        tokens_NS, _ = self._source.documents(seed, 0, max(steps * size, asked), part="gate")
        return GateCase(
            weights=gate_weights(self._shape, seed, float(self._settings["gates.weights_std"])),
            train_inputs=tuple((tokens_NS[k * size : (k + 1) * size],) for k in range(steps)),
            score_inputs=wrapped((tokens_NS[:asked],), self.samples_per_score)[0],
            score_count=min(asked, self.samples_per_score),
            losses_of=self._reference_losses,
            gradient_of=self._reference_gradient,
        )

    def _reference_losses(self, weights: Weights, inputs: Inputs) -> NDArray[np.float64]:
        return token_losses(weights, inputs[0], self._shape)

    def _reference_gradient(self, weights: Weights, inputs: Inputs) -> tuple[float, Tensors]:
        return mean_loss_gradient(weights, inputs[0], self._shape)

    def _int(self, key: str) -> int:
        return int(self._settings[key])
