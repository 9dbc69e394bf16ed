"""Weight-only quantisation, in NumPy and once for every framework: the same whole numbers and scales everywhere.

A matrix `_OI` is cut into groups along its inputs; a group's scale is its largest magnitude over the largest whole
number, rounded to bfloat16, and w is about q * scale. int8: one group a row (output), q from -127 to 127. int4:
groups of 32 inputs, q from -7 to 7; where 32 does not divide the inputs the matrix is int8. Norms and the
embedding, of which a step reads one row a request, stay as they are.

Shape suffixes: O outputs, I inputs, N groups of a row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.engine import Weights

GROUP = 32
"""Inputs that share a scale in int4."""

LARGEST = {8: 127, 4: 7}


@dataclass(frozen=True, kw_only=True)
class Quantised:
    """A matrix in whole numbers.

    Attributes:
        bits: 8 or 4.
        q_OI: int8 [O, I].
        scale_ON: float32 [O, N], each exact in bfloat16; N is 1 in int8 and I / 32 in int4.
    """

    bits: int
    q_OI: NDArray[np.int8]
    scale_ON: NDArray[np.float32]

    def values(self) -> NDArray[np.float32]:
        """What the whole numbers stand for, float32 [O, I]."""
        return (self.q_OI.reshape(*self.scale_ON.shape, -1) * self.scale_ON[..., None]).reshape(self.q_OI.shape)


def is_quantised(name: str, scheme: str) -> bool:
    """Whether `execution.weights` = `scheme` stores the tensor of this canonical name in whole numbers."""
    return scheme != "as-trained" and name.endswith(("_OI", "head_VW"))


def quantise(weight_OI: NDArray[np.float32], scheme: str) -> Quantised:
    """`weight_OI` in `scheme`, `int8` or `int4`."""
    outputs, inputs = weight_OI.shape
    bits = 4 if scheme == "int4" and inputs % GROUP == 0 else 8
    grouped_ONI = weight_OI.reshape(outputs, inputs // GROUP if bits == 4 else 1, -1)
    largest_ON = np.abs(grouped_ONI).max(axis=-1)
    scale_ON = to_bfloat16(np.where(largest_ON > 0, largest_ON / LARGEST[bits], 1).astype(np.float32))
    q_ONI = np.clip(np.rint(grouped_ONI / scale_ON[..., None]), -LARGEST[bits], LARGEST[bits]).astype(np.int8)
    return Quantised(bits=bits, q_OI=q_ONI.reshape(outputs, inputs), scale_ON=scale_ON)


def as_served(weights: Weights, scheme: str) -> dict[str, NDArray[np.float32]]:
    """The weights by canonical name, each quantised matrix as the values that its whole numbers stand for."""
    return {
        name: quantise(tensor, scheme).values() if is_quantised(name, scheme) else tensor
        for name, tensor in weights.items()
    }


def to_bfloat16(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Finite `x` rounded to the nearest bfloat16, ties to even, as float32."""
    bits = x.view(np.uint32)
    odd = bits >> np.uint32(16) & np.uint32(1)
    return ((bits + np.uint32(0x7FFF) + odd) & np.uint32(0xFFFF0000)).view(np.float32)
