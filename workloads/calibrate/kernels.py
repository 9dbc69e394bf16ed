"""What is asked of a framework to find a device's ceilings, and which products come out exact whatever the format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.records import GateResult

DTYPES = ("fp32", "tf32", "bf16", "fp16", "int8")
"""Number formats of products, in the order in which they are measured; `fp32` is strict."""

ITEM_BYTES = {"fp32": 4, "tf32": 4, "bf16": 2, "fp16": 2, "int8": 1}

PROVED = 64
"""Rows and columns of the products that are compared: sums of so many ones are exact in each format."""

Work = Callable[[int], None]
"""Hands so many equal pieces of work to the device; whoever times them waits for the device at both edges."""


class Kernels(Protocol):
    """Products and copies of one framework on one device."""

    def missing(self) -> Mapping[str, str]:
        """Formats of `DTYPES` that this framework or device lacks, and why."""

    def multiply(self, dtype: str, left: NDArray[np.int8], right: NDArray[np.int8]) -> NDArray[Any]:
        """The product of whole numbers through the product of `dtype`, on the host."""

    def products(self, dtype: str, width: int) -> Work:
        """Products of two square matrices of `width` rows that lie on the device. Raises what the framework does."""

    def reads(self, size_bytes: int) -> Work:
        """Reads of all of a buffer on the device."""

    def copies(self, size_bytes: int) -> Work:
        """Copies of such a buffer into another on the device: each reads and writes all of it."""

    def copies_from_host(self, size_bytes: int) -> Work:
        """Copies of a buffer of the host's memory into the device's."""


def prove(kernels: Kernels, dtype: str) -> GateResult:
    """How many entries of a product of whole numbers are wrong in `dtype`; none may be."""
    row, column = np.indices((PROVED, PROVED))
    left = ((row * 7 + column * 3) % 3 - 1).astype(np.int8)
    right = ((row * 5 + column * 11) % 3 - 1).astype(np.int8)
    exact = left.astype(np.int64) @ right.astype(np.int64)
    wrong = int((kernels.multiply(dtype, left, right).astype(np.float64) != exact).sum())
    return GateResult(name="wrong_products", dtype=dtype, value=float(wrong), limit=0.0, passed=wrong == 0, unit="1")
