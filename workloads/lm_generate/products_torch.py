"""Products with a weight matrix, stored once as the settings say: fp32, bf16, or whole numbers with scales.

New weights are written into the tensors that are there, so that compiled graphs stay as they are.

Shape suffixes: N rows, O outputs, I inputs, M groups of a row.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from oildrop.workloads.lm_generate.blocks_torch import Blocks, ByteBlocks
from oildrop.workloads.lm_generate.quantised import GROUP, is_quantised, quantise

FEW_ROWS = 16
"""Up to here the kernels that read whole numbers are faster than making the matrix; measured on two x86 cores."""

PACKED_INPUTS = 16
"""The int8 kernel of PyTorch 2.13 for bf16 reads past the end of a row whose length this does not divide."""

PACKED_OUTPUTS = 16
"""The int4 kernel takes whole blocks of so many outputs."""


class Product(Protocol):
    """The product with one matrix."""

    def load(self, weight_OI: NDArray[np.float32]) -> None:
        """Take these weights."""

    def __call__(self, x_NI: Tensor) -> Tensor:
        """From [N, I] in the compute dtype to [N, O]."""


def product_of(
    name: str, size: tuple[int, ...], scheme: str, dtype: torch.dtype, device: torch.device, *, blocks: bool
) -> Dense | Int8 | Int4 | Int4Packed:
    """The product with the matrix of canonical name `name` and shape `size`, its weights zero.

    Args:
        blocks: Keep the matrix a second time as graphs of one row on a processor read it, but for int4.
    """
    if not is_quantised(name, scheme):
        return Dense(size, dtype, device, Blocks(size, dtype) if blocks else None)
    packed = device.type == "cpu" and dtype == torch.bfloat16
    if scheme == "int8" or size[1] % GROUP:
        packed = packed and size[1] % PACKED_INPUTS == 0
        return Int8(size, scheme, dtype, device, ByteBlocks(size) if blocks else None, packed=packed)
    if packed and size[0] % PACKED_OUTPUTS == 0:
        return Int4Packed(size)
    return Int4(size, dtype, device)


class Dense:
    """As it is, in the compute dtype."""

    def __init__(self, size: tuple[int, ...], dtype: torch.dtype, device: torch.device, blocks: Blocks | None) -> None:
        self._weight_OI, self._blocks = torch.zeros(size, dtype=dtype, device=device), blocks
        self._as_vector = device.type == "cpu"
        self._fewest, self._most = _rows_turned(dtype, device)

    def load(self, weight_OI: NDArray[np.float32]) -> None:
        """Cast."""
        self._weight_OI.copy_(torch.tensor(weight_OI))
        if self._blocks is not None:
            self._blocks.load(self._weight_OI)

    def __call__(self, x_NI: Tensor) -> Tensor:
        """By blocks where one row is compiled; else on a processor as fast as PyTorch has it for so many rows."""
        rows = len(x_NI)
        if self._blocks is not None and rows == 1 and torch.compiler.is_compiling():
            return self._blocks.sums(x_NI).to(x_NI.dtype)
        if rows == 1 and self._as_vector:
            return torch.mv(self._weight_OI, x_NI[0])[None]
        if self._fewest <= rows <= self._most:
            return torch.mm(self._weight_OI.float(), x_NI.float().t()).t().to(x_NI.dtype).contiguous()
        return F.linear(x_NI, self._weight_OI)


class Int8:
    """One scale a row of the matrix."""

    def __init__(
        self,
        size: tuple[int, ...],
        scheme: str,
        dtype: torch.dtype,
        device: torch.device,
        blocks: ByteBlocks | None,
        *,
        packed: bool,
    ) -> None:
        self._scheme, self._blocks, self._packed = scheme, blocks, packed
        self._q_OI = torch.zeros(size, dtype=torch.int8, device=device)
        self._scale_O = torch.zeros(size[0], dtype=dtype, device=device)

    def load(self, weight_OI: NDArray[np.float32]) -> None:
        """Quantise."""
        found = quantise(weight_OI, self._scheme)
        self._q_OI.copy_(torch.from_numpy(found.q_OI))
        self._scale_O.copy_(torch.from_numpy(found.scale_ON[:, 0]))
        if self._blocks is not None:
            self._blocks.load(self._q_OI)

    def __call__(self, x_NI: Tensor) -> Tensor:
        """Few rows through PyTorch's own kernel, where it has one."""
        if len(x_NI) == 1 and self._blocks is not None and torch.compiler.is_compiling():
            return (self._blocks.sums(x_NI) * self._scale_O.float()).to(x_NI.dtype)
        if self._packed and len(x_NI) <= FEW_ROWS:
            return torch.ops.aten._weight_int8pack_mm(x_NI, self._q_OI, self._scale_O)
        return F.linear(x_NI, self._q_OI.to(x_NI.dtype)) * self._scale_O


class Int4:
    """A scale for each group of inputs, where no kernel reads packed numbers: a byte holds one."""

    def __init__(self, size: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
        self._q_OMI = torch.zeros(size[0], size[1] // GROUP, GROUP, dtype=torch.int8, device=device)
        self._scale_OM1 = torch.zeros(size[0], size[1] // GROUP, 1, dtype=dtype, device=device)

    def load(self, weight_OI: NDArray[np.float32]) -> None:
        """Quantise."""
        found = quantise(weight_OI, "int4")
        self._q_OMI.copy_(torch.from_numpy(found.q_OI).view_as(self._q_OMI))
        self._scale_OM1.copy_(torch.from_numpy(found.scale_ON)[..., None])

    def __call__(self, x_NI: Tensor) -> Tensor:
        """Make the matrix, then multiply."""
        return F.linear(x_NI, (self._q_OMI.to(x_NI.dtype) * self._scale_OM1).flatten(1))


class Int4Packed:
    """Through PyTorch's own kernel for processors, two numbers a byte; it takes (q + 8 - 8) * scale + 0."""

    def __init__(self, size: tuple[int, ...]) -> None:
        self._packed = _packed(np.zeros(size, dtype=np.int8))
        self._scale_zero_MO2 = torch.zeros(size[1] // GROUP, size[0], 2, dtype=torch.bfloat16)

    def load(self, weight_OI: NDArray[np.float32]) -> None:
        """Quantise and pack."""
        found = quantise(weight_OI, "int4")
        self._packed.copy_(_packed(found.q_OI))
        self._scale_zero_MO2[..., 0] = torch.from_numpy(found.scale_ON).t()

    def __call__(self, x_NI: Tensor) -> Tensor:
        """Whatever the number of rows."""
        return _int4_product(x_NI, self._packed, self._scale_zero_MO2)


@torch.library.custom_op("oildrop::int4_product", mutates_args=())
def _int4_product(x_NI: Tensor, packed: Tensor, scale_zero_MO2: Tensor) -> Tensor:
    """PyTorch's kernel, closed to Inductor, which loses the group's size where a part of a graph is compiled once."""
    return torch.ops.aten._weight_int4pack_mm_for_cpu(x_NI, packed, GROUP, scale_zero_MO2)


@_int4_product.register_fake
def _(x_NI: Tensor, packed: Tensor, scale_zero_MO2: Tensor) -> Tensor:
    return x_NI.new_empty(x_NI.shape[0], scale_zero_MO2.shape[1])


def _rows_turned(dtype: torch.dtype, device: torch.device) -> tuple[int, int]:
    """The fewest and the most rows of which the matrix times them, in fp32, is faster than they times the matrix.

    Measured on two x86 cores without AVX-512; bf16 is cast for it, unless the processor multiplies that by itself.
    """
    if device.type != "cpu":
        return 0, 0
    if dtype == torch.float32:
        return 2, 256
    by_itself = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return (0, 0) if by_itself else (4, 4096)


def _packed(q_OI: NDArray[np.int8]) -> Tensor:
    return torch.ops.aten._convert_weight_to_int4pack_for_cpu(torch.from_numpy(q_OI).int() + 8, 1)
