"""Scikit-learn's handwritten digits as integers, and their split by integers alone.

1,797 images of 8x8 pixels with 0 to 16 ink levels come inside scikit-learn's wheel: nothing is downloaded.
Their bytes are compared with the SHA-256 that the rulebook states before anything is learned from them.

Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI repository, 1998 (CC BY 4.0).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.errors import RulebookError
from oildrop.workloads.integers import permutation

CLASS_COUNT = 10
SIDE_PX = 8
INK_LEVELS = 16


@dataclass(frozen=True, kw_only=True)
class Digits:
    """Images and what they show.

    Attributes:
        images: int32 [N, 8, 8], ink from 0 (paper) to 16.
        labels: int32 [N], the digit 0 to 9.
    """

    images: NDArray[np.int32]
    labels: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: NDArray[np.int64]) -> Digits:
        """The images at `index`, in that order."""
        return Digits(images=self.images[index], labels=self.labels[index])


def digits_sha256(digits: Digits) -> str:
    """Hex SHA-256 over the little-endian int32 bytes of the images, then of the labels."""
    return hashlib.sha256(little_endian(digits.images) + little_endian(digits.labels)).hexdigest()


def little_endian(values: NDArray[np.int32]) -> bytes:
    """The bytes of an int32 array in C order, least significant byte first on every machine."""
    return values.astype("<i4").tobytes()


def load_digits(expected_sha256: str) -> Digits:
    """All images of the installed scikit-learn.

    Raises:
        RulebookError: they are not the images that the rulebook names.
    """
    import sklearn
    from sklearn import datasets

    raw = datasets.load_digits()
    digits = Digits(images=raw.images.astype(np.int32), labels=raw.target.astype(np.int32))
    found = digits_sha256(digits)
    if found != expected_sha256:
        raise RulebookError(
            f"the digits of scikit-learn {sklearn.__version__} have SHA-256 {found}, the rulebook expects "
            f"{expected_sha256} (data.sha256): install a scikit-learn whose digits are the original ones, such as 1.9"
        )
    return digits


def split(digits: Digits, *, seed: int, held_out_per_class: int) -> tuple[Digits, Digits]:
    """(train, held out): of each digit the first `held_out_per_class` in the order of `seed` are held out.

    Raises:
        RulebookError: a digit has too few images to leave one for training.
    """
    smallest = int(np.bincount(digits.labels, minlength=CLASS_COUNT).min())
    if not 0 < held_out_per_class < smallest:
        raise RulebookError(
            f"evaluation.held_out_per_class is {held_out_per_class}: the rarest digit has {smallest} images, "
            f"so it must lie between 1 and {smallest - 1}"
        )
    order = permutation(seed, 0, len(digits))
    rank_in_class = np.empty(len(digits), dtype=np.int64)
    for digit in range(CLASS_COUNT):
        members = order[digits.labels[order] == digit]
        rank_in_class[members] = np.arange(len(members))
    held_out = np.sort(np.flatnonzero(rank_in_class < held_out_per_class))
    train = np.flatnonzero(rank_in_class >= held_out_per_class)
    return digits.take(train), digits.take(held_out)
