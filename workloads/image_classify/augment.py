"""Training images as the model sees them: shifted, smudged and partly erased, by integers alone.

Sample s of a run is image `permutation(seed, epoch, N)[position]` with epoch = s // N and position = s % N,
changed as one block of four Philox words at (seed, epoch, position) says. Any sample can be made
without those before it, so that ranks and workers make their own, and all frameworks see the same bits.

Shape suffixes: N images, H rows, W columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.image_classify.data import INK_LEVELS, SIDE_PX, Digits
from oildrop.workloads.integers import WORDS_PER_BLOCK, permutation, raw_words

LANE_BITS = 16


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far an image may be changed.

    Attributes:
        shift_px: Largest shift along each axis, pixels; paper comes in at the edge.
        noise: 1 adds -1, 0 or +1 ink level (odds 1:2:1) to each pixel, 0 none.
        erase_px: Side of the square that is set to paper somewhere in the image; 0 erases nothing.
    """

    shift_px: int
    noise: int
    erase_px: int

    def apply(self, images_NHW: NDArray[np.int32], words_N4: NDArray[np.uint64]) -> NDArray[np.int32]:
        """int32 [N, 8, 8], ink 0 to 16: each image changed as its four words say.

        Word 0 holds four 16-bit lanes: shift down, shift right, top and left of the erased square.
        Bit p of word 1 adds one level to pixel p (row-major), bit p of word 2 takes one away; word 3 is unused.
        """
        images_NHW = self._shift(images_NHW, words_N4[:, 0])
        if self.noise:
            images_NHW = np.clip(images_NHW + _bits(words_N4[:, 1]) - _bits(words_N4[:, 2]), 0, INK_LEVELS)
        if self.erase_px:
            images_NHW = np.where(self._erased(words_N4[:, 0]), np.int32(0), images_NHW)
        return images_NHW

    def _shift(self, images_NHW: NDArray[np.int32], word_N: NDArray[np.uint64]) -> NDArray[np.int32]:
        far = self.shift_px
        padded = np.pad(images_NHW, ((0, 0), (far, far), (far, far)))
        # A draw of 0 .. 2 far is where the window starts in the padded image: 2 far less the shift.
        window = np.arange(SIDE_PX)
        rows = 2 * far - _below(word_N, lane=0, limit=2 * far + 1)[:, None] + window
        columns = 2 * far - _below(word_N, lane=1, limit=2 * far + 1)[:, None] + window
        image = np.arange(len(padded))[:, None, None]
        moved: NDArray[np.int32] = padded[image, rows[:, :, None], columns[:, None, :]]
        return moved

    def _erased(self, word_N: NDArray[np.uint64]) -> NDArray[np.bool_]:
        places = SIDE_PX - self.erase_px + 1
        row = np.arange(SIDE_PX) - _below(word_N, lane=2, limit=places)[:, None]
        column = np.arange(SIDE_PX) - _below(word_N, lane=3, limit=places)[:, None]
        in_rows, in_columns = (row >= 0) & (row < self.erase_px), (column >= 0) & (column < self.erase_px)
        return in_rows[:, :, None] & in_columns[:, None, :]


def _below(word_N: NDArray[np.uint64], *, lane: int, limit: int) -> NDArray[np.int64]:
    """int64 [N] in 0 .. limit - 1 from one 16-bit lane; odds differ by at most limit / 65,536."""
    value = (word_N >> np.uint64(LANE_BITS * lane)) & np.uint64(2**LANE_BITS - 1)
    return (value.astype(np.int64) * limit) >> LANE_BITS


def _bits(word_N: NDArray[np.uint64]) -> NDArray[np.int32]:
    """int32 [N, 8, 8] of 0 and 1: bit p of a word belongs to pixel p in row-major order."""
    bits = (word_N[:, None] >> np.arange(SIDE_PX * SIDE_PX, dtype=np.uint64)) & np.uint64(1)
    return bits.astype(np.int32).reshape(-1, SIDE_PX, SIDE_PX)


class TrainingStream:
    """The endless sequence of augmented training images of one seed, by sample number."""

    def __init__(self, train: Digits, augmentation: Augmentation, seed: int) -> None:
        self._train = train
        self._augmentation = augmentation
        self._seed = seed
        self._epoch_order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, dtype=np.int64))

    def samples(self, first: int, count: int) -> Digits:
        """Samples `first` to `first + count - 1`; a batch may span epochs."""
        pieces = []
        while count > 0:
            epoch, position = divmod(first, len(self._train))
            taken = min(count, len(self._train) - position)
            pieces.append(self._within_epoch(epoch, position, taken))
            first, count = first + taken, count - taken
        return Digits(
            images=np.concatenate([piece.images for piece in pieces]),
            labels=np.concatenate([piece.labels for piece in pieces]),
        )

    def _within_epoch(self, epoch: int, position: int, count: int) -> Digits:
        if self._epoch_order[0] != epoch:
            self._epoch_order = (epoch, permutation(self._seed, epoch, len(self._train)))
        plain = self._train.take(self._epoch_order[1][position : position + count])
        words = raw_words(self._seed, f"augment/{epoch}", first_block=position, count=WORDS_PER_BLOCK * count)
        images = self._augmentation.apply(plain.images, words.reshape(count, WORDS_PER_BLOCK))
        return Digits(images=images, labels=plain.labels)


def as_input(images_NHW: NDArray[np.int32]) -> NDArray[np.float32]:
    """fp32 [N, 8, 8] in -1 .. 1: (ink - 8) / 8, exact in fp32 and in bf16."""
    half = INK_LEVELS // 2
    return (images_NHW - half).astype(np.float32) / np.float32(half)
