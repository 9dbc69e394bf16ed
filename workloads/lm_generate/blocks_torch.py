"""A matrix in the order in which a compiled loop reads it for one row: a register of outputs after the other.

A loop along a row is one chain of additions, each of which waits for the one before; along the outputs of a
block there are as many chains as a register has places, and memory is still read from its beginning to its end.

Shape suffixes: O outputs, I inputs, B blocks of outputs, C outputs of a block, W groups of four inputs.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

REGISTER_BYTES = 32
"""Of AVX2, where this was measured."""

BYTES = 4
"""A word of 32 bits holds the whole numbers of so many inputs."""

WORDS = REGISTER_BYTES // BYTES
"""Outputs of a block of words."""

OFFSET = 128
"""Added to all but the last of a word, which alone has a sign: a mask takes the others out as they are."""


class Blocks:
    """Numbers of a compute dtype, [B, I, C]."""

    def __init__(self, size: tuple[int, ...], dtype: torch.dtype) -> None:
        self._outputs = size[0]
        width = REGISTER_BYTES // dtype.itemsize
        self._weight_BIC = _zeros((-(-size[0] // width), size[1], width), dtype)

    def load(self, weight_OI: Tensor) -> None:
        """Take these weights; outputs that fill up the last block stay zero."""
        _in_blocks(weight_OI, self._weight_BIC)

    def sums(self, x_1I: Tensor) -> Tensor:
        """fp32 [1, O]: the product with one row, in a form that Inductor turns into one loop over the matrix."""
        x_I1 = made(x_1I.float())[0, :, None]
        return (self._weight_BIC.float() * x_I1).sum(1).view(1, -1)[:, : self._outputs]


class ByteBlocks:
    """Whole numbers from -127 to 127, four inputs a word, [B, W, C]: a loop that reads single bytes is not vectorised.

    A byte that is masked out in its place is the number times 2**0, 2**8, 2**16 or 2**24; the input is divided by that.
    """

    def __init__(self, size: tuple[int, ...]) -> None:
        self._outputs, self._fill = size[0], -size[1] % BYTES
        self._place_4 = torch.tensor([2.0 ** (-8 * place) for place in range(BYTES)])
        words = (size[1] + self._fill) // BYTES
        self._word_BWC = _zeros((-(-size[0] // WORDS), words, WORDS), torch.int32)

    def load(self, q_OI: Tensor) -> None:
        """Take these int8."""
        q_OWS = F.pad(q_OI, (0, self._fill)).to(torch.int32).unflatten(1, (-1, BYTES))
        word_OW = q_OWS[..., BYTES - 1] << 24
        for place in range(BYTES - 1):
            word_OW |= q_OWS[..., place] + OFFSET << 8 * place
        _in_blocks(word_OW, self._word_BWC)

    def sums(self, x_1I: Tensor) -> Tensor:
        """fp32 [1, O]: the product with one row."""
        x_W4 = F.pad(x_1I.float(), (0, self._fill)).view(-1, BYTES)
        offset = OFFSET * x_W4[:, : BYTES - 1].sum()
        x_W4 = made(x_W4 * self._place_4)
        sum_BWC = self._numbers(0) * x_W4[:, 0, None]
        for place in range(1, BYTES):
            sum_BWC = sum_BWC + self._numbers(place) * x_W4[:, place, None]
        return (sum_BWC.sum(1) - offset).view(1, -1)[:, : self._outputs]

    def _numbers(self, place: int) -> Tensor:
        mask = 0xFF << 8 * place if place < BYTES - 1 else -(1 << 24)
        return (self._word_BWC & mask).float()


def made(x: Tensor) -> Tensor:
    """`x`; in a compiled graph as a tensor in memory, where Inductor would else work it out anew at every use.

    A view by strides is what it makes a tensor for.
    """
    return torch.as_strided(x, x.shape, x.stride()) if torch.compiler.is_compiling() else x


def _zeros(size: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """In NumPy's memory, for which it asks large pages of the system, as it does for the buffer that measures reads."""
    flat = torch.from_numpy(np.zeros(math.prod(size) * dtype.itemsize, dtype=np.uint8))
    return flat.view(dtype).view(size)


def _in_blocks(from_OI: Tensor, to_BIC: Tensor) -> None:
    blocks, inputs, width = to_BIC.shape
    filled_OI = F.pad(from_OI, (0, 0, 0, blocks * width - len(from_OI)))
    to_BIC.copy_(filled_OI.view(blocks, width, inputs).transpose(1, 2))
