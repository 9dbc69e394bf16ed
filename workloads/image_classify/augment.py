"""Training images as the model sees them: shifted, smudged and partly erased, by integers alone.

Sample s of a run is image `permutation(seed, epoch, N)[position]` with epoch = s // N and position = s % N,
changed as its own Philox words at (seed, epoch, position) say. Any sample can be made
without those before it, so that ranks and workers make their own, and all frameworks see the same bits.

Shape suffixes: N images, H rows, W columns, P = H W pixels, R words an image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.image_classify.data import Digits
from oildrop.workloads.integers import WORDS_PER_BLOCK, permutation, raw_words

LANE_BITS = 16
WORD_BITS = 64


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far an image may be changed.

    Attributes:
        shift_px: Largest shift along each axis, pixels; paper comes in at the edge.
        noise: This many ink levels are taken, left or added (odds 1:2:1) at each pixel; 0 changes none.
        erase_px: Side of the square that is set to paper somewhere in the image; 0 erases nothing.
        levels: The darkest ink.
    """

    shift_px: int
    noise: int
    erase_px: int
    levels: int

    def apply(self, images_NHW: NDArray[np.int32], words_NR: NDArray[np.uint64]) -> NDArray[np.int32]:
        """int32 [N, H, W], ink 0 to `levels`: each image changed as its `words_of(H)` words say.

        Word 0 holds four 16-bit lanes: shift down, shift right, top and left of the erased square.
        The next words hold a bit a pixel (row-major, lowest bit first) that adds `noise`, as many more a bit that
        takes it away; what is left of the last block is unused.
        """
        mask_words = _mask_words(images_NHW.shape[1])
        images_NHW = self._shift(images_NHW, words_NR[:, 0])
        if self.noise:
            more = _bits(words_NR[:, 1 : 1 + mask_words], images_NHW.shape)
            less = _bits(words_NR[:, 1 + mask_words : 1 + 2 * mask_words], images_NHW.shape)
            images_NHW = np.clip(images_NHW + self.noise * (more - less), 0, self.levels, dtype=np.int32)
        if self.erase_px:
            images_NHW = np.where(self._erased(words_NR[:, 0], images_NHW.shape[1]), np.int32(0), images_NHW)
        return images_NHW

    def _shift(self, images_NHW: NDArray[np.int32], word_N: NDArray[np.uint64]) -> NDArray[np.int32]:
        far = self.shift_px
        padded = np.pad(images_NHW, ((0, 0), (far, far), (far, far)))
        # A draw of 0 .. 2 far is where the window starts in the padded image: 2 far less the shift.
        window = np.arange(images_NHW.shape[1])
        rows = 2 * far - _below(word_N, lane=0, limit=2 * far + 1)[:, None] + window
        columns = 2 * far - _below(word_N, lane=1, limit=2 * far + 1)[:, None] + window
        image = np.arange(len(padded))[:, None, None]
        moved: NDArray[np.int32] = padded[image, rows[:, :, None], columns[:, None, :]]
        return moved

    def _erased(self, word_N: NDArray[np.uint64], side_px: int) -> NDArray[np.bool_]:
        places = side_px - self.erase_px + 1
        row = np.arange(side_px) - _below(word_N, lane=2, limit=places)[:, None]
        column = np.arange(side_px) - _below(word_N, lane=3, limit=places)[:, None]
        in_rows, in_columns = (row >= 0) & (row < self.erase_px), (column >= 0) & (column < self.erase_px)
        return in_rows[:, :, None] & in_columns[:, None, :]


def _below(word_N: NDArray[np.uint64], *, lane: int, limit: int) -> NDArray[np.int64]:
    """int64 [N] in 0 .. limit - 1 from one 16-bit lane; odds differ by at most limit / 65,536."""
    value = (word_N >> np.uint64(LANE_BITS * lane)) & np.uint64(2**LANE_BITS - 1)
    return (value.astype(np.int64) * limit) >> LANE_BITS


def words_of(side_px: int) -> int:
    """Philox words that an image of side `side_px` owns: whole blocks for one word of lanes and two masks."""
    return -(-(1 + 2 * _mask_words(side_px)) // WORDS_PER_BLOCK) * WORDS_PER_BLOCK


def _mask_words(side_px: int) -> int:
    return -(-side_px * side_px // WORD_BITS)


def _bits(words_NR: NDArray[np.uint64], shape: tuple[int, ...]) -> NDArray[np.int32]:
    """int32 of `shape` [N, H, W], 0 and 1: bit p of an image's words, lowest first, belongs to pixel p in row-major."""
    octets = np.ascontiguousarray(words_NR, dtype="<u8").view(np.uint8)
    bits_NP = np.unpackbits(octets, axis=1, count=shape[1] * shape[2], bitorder="little")
    return bits_NP.astype(np.int32).reshape(shape)


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
        own = words_of(plain.images.shape[1])
        first_block = position * own // WORDS_PER_BLOCK
        words = raw_words(self._seed, f"augment/{epoch}", first_block=first_block, count=own * count)
        images = self._augmentation.apply(plain.images, words.reshape(count, own))
        return Digits(images=images, labels=plain.labels)


def as_input(images_NHW: NDArray[np.int32], levels: int) -> NDArray[np.float32]:
    """fp32 [N, H, W] in -1 .. 1: (ink - half) / half with half of `levels` rounded up, a power of two.

    Exact in fp32, and in bf16 too, which holds eight binary digits: 16 levels become eighths, 255 become 128ths.
    """
    half = (levels + 1) // 2
    return (images_NHW - half).astype(np.float32) / np.float32(half)
