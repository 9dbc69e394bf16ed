"""What is asked: held-out images of `image-classify`, each request's shifted, smudged and erased in a way of its own.

A few hundred images asked again and again could be answered from a cache, so each time round they are changed as
training images are, by integers of the seed. Image i of the stream is known without those before it. A device may take
more images than a processor can make while the clock runs: those of a pool are made before, and when all of them were
asked they come again, each with one pixel's ink moved on.

Shape suffixes: N images of the pool, H rows, W columns, P = H W pixels, B images of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.image_classify.augment import Augmentation, TrainingStream, as_input
from oildrop.workloads.image_classify.data import Digits
from oildrop.workloads.protocols import Settings

POOL_PIXELS = 2**23
"""Of all images of the pool together: some 131,000 digits of 8x8 pixels, or 10,000 pictures of 28x28; 32 MiB."""


class Requests:
    """The images of one seed.

    Args:
        held_out: The images that are changed; so many in a row show each of them once, in an order of its own.
    """

    def __init__(self, settings: Settings, held_out: Digits, seed: int) -> None:
        number = {key: int(settings[f"data.{key}"]) for key in ("shift_px", "noise", "erase_px", "levels")}
        self._stream = TrainingStream(held_out, Augmentation(**number), seed)
        self._levels = number["levels"]
        self._round = len(held_out)
        self._repeated = settings["requests.prompts"] == "repeated"
        shape_HW = held_out.images.shape[1:]
        self.pool = max(POOL_PIXELS // (shape_HW[0] * shape_HW[1] * self._round), 1) * self._round
        self._images_NHW = np.empty((self.pool, *shape_HW), dtype=np.float32)
        self._labels_N = np.empty(self.pool, dtype=np.int32)
        self._made = 0

    def prepare(self, count: int) -> None:
        """Make the first `count` images of the pool, a round at a time, so that none is made while a clock runs."""
        while self._made < min(count, self.pool):
            made = slice(self._made, self._made + self._round)
            samples = self._stream.samples(self._made, self._round)
            self._images_NHW[made], self._labels_N[made] = as_input(samples.images, self._levels), samples.labels
            self._made += self._round

    def images(self, indices: Sequence[int]) -> NDArray[np.float32]:
        """fp32 [B, H, W] as `augment.as_input` gives them."""
        turn_B, place_B = self._places(indices)
        images_BHW = self._images_NHW[place_B]
        again_B = np.flatnonzero(turn_B)
        if len(again_B):
            images_BHW[again_B] = self._moved_on(images_BHW[again_B], turn_B[again_B])
        return images_BHW

    def labels(self, indices: Sequence[int]) -> NDArray[np.int32]:
        """int32 [B], what the images show."""
        return self._labels_N[self._places(indices)[1]]

    def _places(self, indices: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How often the pool was asked before, and the place in it; both [B]."""
        index_B = np.zeros(len(indices), dtype=np.int64) if self._repeated else np.array(indices, dtype=np.int64)
        turn_B, place_B = np.divmod(index_B, self.pool)
        self.prepare(int(place_B.max(initial=0)) + 1)
        return turn_B, place_B

    def _moved_on(self, images_BHW: NDArray[np.float32], turn_B: NDArray[np.int64]) -> NDArray[np.float32]:
        """Turn t > 0: pixel (t - 1) mod P moves on by 1 + (t - 1) // P levels of ink, from the darkest to paper."""
        ink_BP = (images_BHW.reshape(len(turn_B), -1) + 1) * np.float32((self._levels + 1) // 2)
        beyond_B, pixel_B = np.divmod(turn_B - 1, ink_BP.shape[1])
        row_B = np.arange(len(turn_B))
        ink_BP[row_B, pixel_B] = (ink_BP[row_B, pixel_B] + 1 + beyond_B) % (self._levels + 1)
        return as_input(ink_BP.astype(np.int32), self._levels).reshape(images_BHW.shape)
