"""Proves that a framework multiplies fp32 numbers in full fp32: whole numbers whose products a shorter format loses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.errors import Unsupported

SIZE = 128
"""Rows and columns: enough that a library takes the kernel that it takes for large matrices."""

WIDE_BITS = 21
"""Bits of the wide factor: TF32 keeps 11, two bfloat16 parts keep 16; three parts, like fp32, keep 24."""

Matrix = NDArray[np.float32]
Multiply = Callable[[Matrix, Matrix], Matrix]
"""Product of two matrices [SIZE, SIZE], through the device's fp32 product."""


def require_exact_products(backend: str, kind: str, multiply: Multiply) -> None:
    """Multiply matrices whose exact product is known, the wide factor on the left and on the right.

    Every partial sum is a whole number under 2^24, so that fp32 is exact in any order of addition.

    Args:
        kind: What is multiplied with, such as `matrix product`.

    Raises:
        Unsupported: A product is off, so that factors or sums were shortened.
    """
    wide, few = factors()
    for left, right in ((wide, few), (few, wide)):
        exact = left @ right
        found = multiply(left.astype(np.float32), right.astype(np.float32))
        off = np.abs(np.asarray(found, dtype=np.float64) - exact)
        if not (off == 0).all():
            raise Unsupported(
                f"{backend}: an fp32 {kind} is off by up to {off.max():g} where fp32 is exact: the framework "
                "shortens its factors; unset variables that allow it (NVIDIA_TF32_OVERRIDE, "
                "ONEDNN_DEFAULT_FPMATH_MODE, XLA_FLAGS), or take another version of the framework"
            )


def factors() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two int64 matrices [SIZE, SIZE]: odd numbers of up to `WIDE_BITS` bits, and a few ones and minus ones a row.

    Four entries a row and a column of the second are not zero: sums stay under 4 * 2^21 = 2^23.
    """
    row, column = np.indices((SIZE, SIZE))
    wide = (row * 104729 + column * 15485863) % 2**WIDE_BITS | 1
    ring = (row - column) % SIZE
    few = np.select([ring == 0, ring == 7, ring == 31, ring == 64], [1, -1, 1, -1], default=0)
    return wide, few
