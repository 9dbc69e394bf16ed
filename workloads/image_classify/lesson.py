"""`image-classify` free of any framework: images, first weights, and the reference for its gates.

Shape suffixes: B images of a batch, N held-out images, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.engine import Inputs, Weights
from oildrop.workloads.gates import GateCase, Tensors
from oildrop.workloads.image_classify import data, reference
from oildrop.workloads.image_classify.augment import Augmentation, TrainingStream, as_input
from oildrop.workloads.image_classify.data import Digits
from oildrop.workloads.image_classify.reference import config_of
from oildrop.workloads.image_classify.reference_gradient import mean_loss_gradient
from oildrop.workloads.protocols import Settings
from oildrop.workloads.training import Batch, HeldOut, wrapped


class ImageClassify:
    """The `Lesson` of `image-classify`; a batch is (images int32 [B, H, W], labels int32 [B])."""

    tokens_per_sample = 1

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def samples_per_step(self) -> int:
        """Images a step."""
        return self._int("data.images_per_batch")

    @property
    def samples_per_score(self) -> int:
        """Images scored at once: as many as trained on at once."""
        return self.samples_per_step

    def load(self) -> None:
        """Read the images, check their hash, and split them."""
        self._train, self._held_out = data.load(self._settings)
        self._config = config_of(self._settings)

    def held_out(self) -> HeldOut:
        """The held-out images, unchanged."""
        count = len(self._held_out)
        return HeldOut(
            batch=_batch(self._held_out), source_nats=np.zeros(count), token_count=np.ones(count, dtype=np.int64)
        )

    def batches(self, seed: int) -> Iterator[Batch]:
        """Augmented images in the order of `seed`, epoch after epoch."""
        stream, size = self._stream(seed), self.samples_per_step
        return (_batch(stream.samples(step * size, size)) for step in count())

    def synthetic_batch(self) -> Batch:
        """A fixed pattern of ink."""
        size, side = self.samples_per_step, self._int("data.side_px")
        pixels = np.arange(size * side**2, dtype=np.int32).reshape(size, side, side)
        return pixels % (self._int("data.levels") + 1), np.arange(size, dtype=np.int32) % data.CLASS_COUNT

    def inputs(self, batch: Batch) -> Inputs:
        """Images as fp32 in -1 .. 1, and labels."""
        return as_input(batch[0], self._int("data.levels")), batch[1]

    def initial_weights(self, seed: int) -> Weights:
        """From integers."""
        return reference.initial_weights(self._config, seed)

    def gate_case(self) -> GateCase:
        """Training images of the gate seed, and the float64 network."""
        seed, size = self._int("gates.seed"), self.samples_per_step
        stream = self._stream(seed)
        steps = [self.inputs(_batch(stream.samples(k * size, size))) for k in range(self._int("gates.steps"))]
        asked = _batch(stream.samples(0, self._int("gates.documents")))
        return GateCase(
            weights=reference.gate_weights(self._config, seed, float(self._settings["gates.weights_std"])),
            train_inputs=tuple(steps),
            score_inputs=self.inputs(wrapped(asked, self.samples_per_score)[0]),
            score_count=min(len(asked[1]), self.samples_per_score),
            losses_of=self._reference_losses,
            gradient_of=self._reference_gradient,
        )

    def _reference_losses(self, weights: Weights, inputs: Inputs) -> NDArray[np.float64]:
        return reference.image_losses(self._config, weights, *inputs)

    def _reference_gradient(self, weights: Weights, inputs: Inputs) -> tuple[float, Tensors]:
        return mean_loss_gradient(self._config, weights, *inputs)

    def _stream(self, seed: int) -> TrainingStream:
        augmentation = Augmentation(
            shift_px=self._int("data.shift_px"),
            noise=self._int("data.noise"),
            erase_px=self._int("data.erase_px"),
            levels=self._int("data.levels"),
        )
        return TrainingStream(self._train, augmentation, seed)

    def _int(self, key: str) -> int:
        return int(self._settings[key])


def _batch(digits: Digits) -> Batch:
    return digits.images, digits.labels
