"""What is asked: held-out images of `image-classify`, each request's shifted, smudged and erased in a way of its own.

A few hundred images asked again and again could be answered from a cache, so each time round they are changed as
training images are, by integers of the seed. Image i of the stream is known without those before it.

Shape suffixes: N images of a block, H rows, W columns, B images of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.image_classify.augment import Augmentation, TrainingStream, as_input
from oildrop.workloads.image_classify.data import Digits
from oildrop.workloads.protocols import Settings


class Requests:
    """The images of one seed, made a block at a time and kept.

    Args:
        held_out: The images that are changed; a block is all of them once, in an order of its own.
    """

    def __init__(self, settings: Settings, held_out: Digits, seed: int) -> None:
        number = {key: int(settings[f"data.{key}"]) for key in ("shift_px", "noise", "erase_px", "levels")}
        self._stream = TrainingStream(held_out, Augmentation(**number), seed)
        self._levels = number["levels"]
        self._size = len(held_out)
        self._repeated = settings["requests.prompts"] == "repeated"
        self._blocks: list[tuple[NDArray[np.float32], NDArray[np.int32]]] = []

    def prepare(self, count: int) -> None:
        """Make the first `count` images now, so that none is made while a clock runs."""
        while len(self._blocks) * self._size < count:
            block = self._stream.samples(len(self._blocks) * self._size, self._size)
            self._blocks.append((as_input(block.images, self._levels), block.labels))

    def images(self, indices: Sequence[int]) -> NDArray[np.float32]:
        """fp32 [B, H, W] as `augment.as_input` gives them."""
        return np.stack([self._of(index)[0] for index in indices])

    def labels(self, indices: Sequence[int]) -> NDArray[np.int32]:
        """int32 [B], what the images show."""
        return np.array([self._of(index)[1] for index in indices], dtype=np.int32)

    def _of(self, index: int) -> tuple[NDArray[np.float32], np.int32]:
        index = 0 if self._repeated else index
        self.prepare(index + 1)
        images_NHW, labels_N = self._blocks[index // self._size]
        place = index % self._size
        return images_NHW[place], labels_N[place]
