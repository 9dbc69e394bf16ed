"""`image-infer` free of any framework: images, weights, gates, and what the answers are worth.

Shape suffixes: B images of a batch, H rows, W columns, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.engine import Inputs, Weights
from oildrop.workloads.forward import Forward, pieces, weight_bytes
from oildrop.workloads.gates import relative_rms
from oildrop.workloads.image_classify import data, reference
from oildrop.workloads.image_infer.requests import Requests
from oildrop.workloads.kept_weights import read_checkpoint
from oildrop.workloads.protocols import Settings
from oildrop.workloads.served_protocols import Assessment, RequestSize

TIE = 1e-4
"""Classes whose logits are this near the largest count as the likeliest too: fp32 may order them otherwise."""

REFERENCE_IMAGES = 32
"""That go through the float64 network at once."""


class ImageInfer:
    """The `Subject` of `image-infer`; an answer is the class, 0 to 9."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._config = reference.config_of(settings)

    def load(self) -> None:
        """The images that training never sees."""
        _, self._held_out = data.load(self._settings)

    def tensors(self) -> Mapping[str, tuple[int, ...]]:
        """The network's."""
        return self._config.tensor_shapes()

    def weight_bytes(self) -> int:
        """Of all tensors."""
        shapes = self.tensors()
        return weight_bytes(shapes, products(self._config), str(self._settings["execution.dtype"]))

    def weights(self, seed: int) -> Weights:
        """The checkpoint, or the weights that a training of this seed would start from."""
        if self._settings["weights.source"] == "random":
            return reference.initial_weights(self._config, seed)
        name, sha256 = (str(self._settings.get(f"checkpoint.{key}", "")) for key in ("name", "weights_sha256"))
        return read_checkpoint(name, sha256, self.tensors())

    def start(self, seed: int) -> None:
        """The pool of images is made now."""
        self._requests = Requests(self._settings, self._held_out, seed)
        self._requests.prepare(self._requests.pool)

    def size(self, index: int) -> RequestSize:
        """An image in, a class out."""
        return RequestSize(input_tokens=1, output_tokens=1)

    def shape(self, index: int) -> int:
        """All images are alike."""
        return 0

    def inputs(self, indices: Sequence[int]) -> Inputs:
        """Images fp32 [B, H, W]."""
        return (self._requests.images(indices),)

    def examples(self) -> list[Inputs]:
        """A blank one."""
        side = int(self._settings["data.side_px"])
        return [(np.zeros((1, side, side), dtype=np.float32),)]

    def answers(self, outputs_BK: NDArray[np.float32]) -> list[int]:
        """The likeliest class."""
        classes: list[int] = outputs_BK.argmax(axis=1).tolist()
        return classes

    def gate(self, engine: Forward) -> Iterator[tuple[str, float]]:
        """`logits` of images of the gate seed, in batches of several sizes."""
        seed, count = int(self._settings["gates.seed"]), int(self._settings["gates.documents"])
        weights = reference.gate_weights(self._config, seed, float(self._settings["gates.weights_std"]))
        images_BHW = Requests(self._settings, self._held_out, seed).images(range(count))
        engine.set_weights(weights)
        batches = pieces(count, int(self._settings["execution.slots"]))
        found_BK = np.concatenate([engine.run((images_BHW[batch.start : batch.stop],)) for batch in batches])
        yield "logits", relative_rms(found_BK, self._expected(weights, images_BHW))

    def assess(
        self, indices: Sequence[int], outputs_BK: NDArray[np.float32], answers: Sequence[int], weights: Weights
    ) -> Assessment:
        """-ln q of what each image shows, whether the class sent is the float64 network's, and whether it is shown."""
        images_BHW, labels_B = self._requests.images(indices), self._requests.labels(indices)
        rows, one = np.arange(len(indices)), np.ones(len(indices), dtype=np.int64)
        log_q_BK = reference.log_softmax(outputs_BK.astype(np.float64))
        expected_BK = self._expected(weights, images_BHW)
        sent_B = np.array(answers)
        agreed_B = expected_BK[rows, sent_B] >= expected_BK.max(axis=1) - TIE
        return Assessment(
            index=np.array(indices, dtype=np.int64),
            loss_nats=-log_q_BK[rows, labels_B],
            source_nats=np.zeros(len(indices)),
            token_count=one,
            agreed_count=agreed_B.astype(np.int64),
            compared_count=one,
            correct_count=(sent_B == labels_B).astype(np.int64),
            reference_correct_count=(expected_BK.argmax(axis=1) == labels_B).astype(np.int64),
        )

    def _expected(self, weights: Weights, images_BHW: NDArray[np.float32]) -> NDArray[np.float64]:
        """The reference's logits, float64 [B, K], a few images at a time: it copies what lies under each kernel."""
        starts = range(0, len(images_BHW), REFERENCE_IMAGES)
        parts = [images_BHW[start : start + REFERENCE_IMAGES] for start in starts]
        return np.concatenate([reference.logits(self._config, weights, part) for part in parts])


def products(config: reference.ModelConfig) -> frozenset[str]:
    """Names of the matrices of products: convolutions and head."""
    return frozenset(name for name, shape in config.tensor_shapes().items() if len(shape) > 1)
