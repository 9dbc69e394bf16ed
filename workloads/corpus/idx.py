"""IDX files of unsigned bytes, gzipped or plain: what MNIST and its kin are stored in.

Layout: two zero bytes, the type (8 is unsigned byte), the number of axes, each axis as a big-endian 32-bit length,
then the values in C order.
Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits", 1998, section "File formats".
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.errors import OildropError
from oildrop.workloads.corpus.compressed import opened

UNSIGNED_BYTE = 8
AXIS_BYTES = 4
MAGIC_BYTES = 4


def read_images(path: Path) -> NDArray[np.uint8]:
    """uint8 [N, H, W]. Raises OildropError when the file is no IDX file of three axes."""
    return _read(path, axes=3)


def read_labels(path: Path) -> NDArray[np.uint8]:
    """uint8 [N]. Raises OildropError when the file is no IDX file of one axis."""
    return _read(path, axes=1)


def _read(path: Path, axes: int) -> NDArray[np.uint8]:
    with opened(path) as file:
        return _parse(path.name, file, axes)


def _parse(name: str, file: BinaryIO, axes: int) -> NDArray[np.uint8]:
    magic = file.read(MAGIC_BYTES)
    if len(magic) < MAGIC_BYTES or magic[:2] != b"\0\0":
        raise OildropError(f"{name}: no IDX file: it begins with {magic.hex() or 'nothing'}, 0000 expected")
    if magic[2] != UNSIGNED_BYTE:
        raise OildropError(f"{name}: IDX type {magic[2]:#04x} found, {UNSIGNED_BYTE:#04x} (unsigned byte) expected")
    if magic[3] != axes:
        kind = "images" if axes == 3 else "labels"
        raise OildropError(f"{name}: {magic[3]} axes found, {axes} expected: is it a file of {kind}?")
    header = file.read(AXIS_BYTES * axes)
    if len(header) < AXIS_BYTES * axes:
        raise OildropError(f"{name}: cut off in its header after {MAGIC_BYTES + len(header)} bytes")
    shape = tuple(int(length) for length in np.frombuffer(header, dtype=">u4"))
    expected = math.prod(shape)
    if not expected:
        raise OildropError(f"{name}: the shape {shape} holds no value")
    values = file.read(expected)
    if len(values) < expected or file.read(1):
        found = f"{len(values):,}" if len(values) < expected else f"more than {expected:,}"
        raise OildropError(f"{name}: {found} values found, {expected:,} expected for the shape {shape}")
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)
