"""Labelled images as integers, and which of them are held out, by integers alone.

Without a manifest they are scikit-learn's handwritten digits: 1,797 images of 8x8 pixels with 0 to 16 ink levels that
come inside its wheel, so that nothing is downloaded. With one they are the IDX files that it names.
Either way their values are compared with the SHA-256 that the rulebook states before anything is learned from them.

Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI repository, 1998 (CC BY 4.0).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.data_manifest import DataFile, Manifest, Part
from oildrop.rules.errors import OildropError, RulebookError
from oildrop.workloads.corpus.fetch import fetch
from oildrop.workloads.corpus.idx import read_images, read_labels
from oildrop.workloads.corpus.manifest import find_manifest
from oildrop.workloads.integers import permutation
from oildrop.workloads.protocols import Settings

CLASS_COUNT = 10


@dataclass(frozen=True, kw_only=True)
class Digits:
    """Images and what they show.

    Attributes:
        images: int32 [N, H, W], ink from 0 (paper) to `data.levels`.
        labels: int32 [N], the class 0 to 9.
    """

    images: NDArray[np.int32]
    labels: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: NDArray[np.int64]) -> Digits:
        """The images at `index`, in that order."""
        return Digits(images=self.images[index], labels=self.labels[index])


def load(settings: Settings) -> tuple[Digits, Digits]:
    """(train, held out) of the data that `data.manifest` names; none named, of scikit-learn's digits.

    Of digits, the training images are those that `split` leaves; of a manifest, all of its part `train`, and the
    held-out ones are split off its part `test`.

    Raises:
        Unsupported: The data are not on this machine; says what brings them.
        RulebookError: They are not what the rulebook states.
        OildropError: A file is broken.
    """
    name, sha256 = str(settings["data.manifest"]), str(settings["data.sha256"])
    seed, per_class = int(settings["data.split_seed"]), int(settings["evaluation.held_out_per_class"])
    if name:
        train, test = load_manifest(name, sha256)
        held_out = split(test, seed=seed, held_out_per_class=per_class)[1]
    else:
        train, held_out = split(load_digits(sha256), seed=seed, held_out_per_class=per_class)
    for part in (train, held_out):
        _check_images(part, side_px=int(settings["data.side_px"]), levels=int(settings["data.levels"]))
    return train, held_out


def _check_images(digits: Digits, *, side_px: int, levels: int) -> None:
    height, width = digits.images.shape[1:]
    if (height, width) != (side_px, side_px):
        raise RulebookError(f"data.side_px is {side_px}, the images have {height}x{width} pixels: make it their side")
    most = int(digits.images.max())
    if most > levels:
        raise RulebookError(f"data.levels is {levels}, a pixel has {most}: make it the largest value")


def load_manifest(name: str, expected_sha256: str) -> tuple[Digits, Digits]:
    """The parts (train, test) of the manifest `name`, fetched where need be.

    Raises:
        Unsupported: A file is not on this machine.
        RulebookError: The manifest lacks a part, or its images are not those that the rulebook names.
        OildropError: A file is broken, or images and labels do not go together.
    """
    manifest = find_manifest(name)
    train, test = _read_part(manifest, "train"), _read_part(manifest, "test")
    found = digits_sha256(train, test)
    if found != expected_sha256:
        raise RulebookError(
            f"the images of {name} have SHA-256 {found}, the rulebook expects {expected_sha256}: "
            f"data.sha256 and data.manifest go together"
        )
    return train, test


def _read_part(manifest: Manifest, part: Part) -> Digits:
    images = read_images(fetch(manifest, _only_file(manifest, part, "idx-images")))
    labels = read_labels(fetch(manifest, _only_file(manifest, part, "idx-labels")))
    if len(images) != len(labels):
        raise OildropError(f"{manifest.name}, {part}: {len(images):,} images and {len(labels):,} labels; one each")
    if labels.max() >= CLASS_COUNT:
        raise OildropError(f"{manifest.name}, {part}: label {labels.max()} found, 0 to {CLASS_COUNT - 1} expected")
    return Digits(images=images.astype(np.int32), labels=labels.astype(np.int32))


def _only_file(manifest: Manifest, part: Part, kind: str) -> DataFile:
    found = [file for file in manifest.files if isinstance(file, DataFile) and (file.part, file.kind) == (part, kind)]
    if len(found) != 1:
        raise RulebookError(f"{manifest.name} has {len(found)} files of kind {kind} in part {part}, 1 is expected")
    return found[0]


def digits_sha256(*parts: Digits) -> str:
    """Hex SHA-256 over the little-endian int32 bytes of each part's images, then of its labels."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(little_endian(part.images))
        digest.update(little_endian(part.labels))
    return digest.hexdigest()


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
    """(rest, held out): of each class the first `held_out_per_class` in the order of `seed` are held out.

    Raises:
        RulebookError: a class has too few images to leave one.
    """
    smallest = int(np.bincount(digits.labels, minlength=CLASS_COUNT).min())
    if not 0 < held_out_per_class < smallest:
        raise RulebookError(
            f"evaluation.held_out_per_class is {held_out_per_class}: the rarest class has {smallest} images, "
            f"so it must lie between 1 and {smallest - 1}"
        )
    order = permutation(seed, 0, len(digits))
    rank_in_class = np.empty(len(digits), dtype=np.int64)
    for digit in range(CLASS_COUNT):
        members = order[digits.labels[order] == digit]
        rank_in_class[members] = np.arange(len(members))
    held_out = np.sort(np.flatnonzero(rank_in_class < held_out_per_class))
    rest = np.flatnonzero(rank_in_class >= held_out_per_class)
    return digits.take(rest), digits.take(held_out)
