"""One hash over all weights of a model: equal on every framework when the bits are equal."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

LEAF_BYTES = 4 * 2**20


def weights_sha256(tensors: Iterable[tuple[str, NDArray[np.float32]]]) -> str:
    """Root of a two-level SHA-256 tree over `tensors` in their order.

    Each tensor contributes its name (UTF-8), a zero byte, and its fp32 values little-endian in C order, cut
    into leaves of 4 MiB; the root hashes the leaves' digests, so that leaves can be hashed in parallel.
    """
    root = hashlib.sha256()
    for name, values in tensors:
        data = np.ascontiguousarray(values, dtype="<f4").tobytes()
        root.update(hashlib.sha256(name.encode() + b"\0").digest())
        for start in range(0, max(len(data), 1), LEAF_BYTES):
            root.update(hashlib.sha256(data[start : start + LEAF_BYTES]).digest())
    return root.hexdigest()
