"""Products with a weight matrix, stored once as the settings say: fp32, bf16, or whole numbers with scales.

Shape suffixes: N rows, O outputs, I inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from oildrop.workloads.lm_generate.quantised import GROUP, Quantised, is_quantised, quantise

Product = Callable[[Tensor], Tensor]
"""From [N, I] in the compute dtype to [N, O]."""

FEW_ROWS = 16
"""Up to here the kernels that read whole numbers are faster than making the matrix; measured on two x86 cores."""

PACKED_INPUTS = 16
"""The int8 kernel of PyTorch 2.13 for bf16 reads past the end of a row whose length this does not divide."""


def product_of(
    name: str, weight_OI: NDArray[np.float32], scheme: str, dtype: torch.dtype, device: torch.device
) -> Product:
    """The product with the matrix of canonical name `name`."""
    if not is_quantised(name, scheme):
        return partial(_dense, torch.tensor(weight_OI, dtype=dtype, device=device))
    found = quantise(weight_OI, scheme)
    q_OI = torch.from_numpy(found.q_OI).to(device)
    scale_ON = torch.from_numpy(found.scale_ON).to(device)
    packed = device.type == "cpu" and dtype == torch.bfloat16
    if found.bits == 8:
        return partial(_int8, q_OI, scale_ON[:, 0].to(dtype), packed)
    if packed and len(q_OI) % 16 == 0:
        return _Int4Packed(found)
    return partial(_grouped, q_OI, scale_ON.to(dtype))


def _dense(weight_OI: Tensor, x_NI: Tensor) -> Tensor:
    """For one row the kernel for vectors: of bf16 it reads twice as fast on x86."""
    if len(x_NI) == 1 and weight_OI.device.type == "cpu":
        return torch.mv(weight_OI, x_NI[0])[None]
    return F.linear(x_NI, weight_OI)


def _int8(q_OI: Tensor, scale_O: Tensor, packed: bool, x_NI: Tensor) -> Tensor:
    if packed and len(x_NI) <= FEW_ROWS and x_NI.shape[1] % PACKED_INPUTS == 0:
        return torch.ops.aten._weight_int8pack_mm(x_NI, q_OI, scale_O)
    return F.linear(x_NI, q_OI.to(x_NI.dtype)) * scale_O


def _grouped(q_OI: Tensor, scale_ON: Tensor, x_NI: Tensor) -> Tensor:
    weight_ONI = q_OI.view(*scale_ON.shape, GROUP).to(x_NI.dtype) * scale_ON[..., None]
    return F.linear(x_NI, weight_ONI.view_as(q_OI))


class _Int4Packed:
    """Through PyTorch's own packed kernel for processors, which takes (q - 8) * scale + zero."""

    def __init__(self, found: Quantised) -> None:
        whole_OI = torch.from_numpy(found.q_OI).int() + 8
        self._packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(whole_OI, 1)
        scale_NO = torch.from_numpy(found.scale_ON).bfloat16().t()
        self._scale_zero_NO2 = torch.stack((scale_NO, torch.zeros_like(scale_NO)), dim=-1).contiguous()

    def __call__(self, x_NI: Tensor) -> Tensor:
        return torch.ops.aten._weight_int4pack_mm_for_cpu(x_NI, self._packed, GROUP, self._scale_zero_NO2)
