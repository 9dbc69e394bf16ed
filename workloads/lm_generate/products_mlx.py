"""Products with a weight matrix in MLX, stored once as the settings say: fp32, bf16, or whole numbers with scales.

MLX's own kernel reads whole numbers where its groups divide a row: it takes q * scale + bias with q from 0 on, so ours
are moved up by 2^(bits - 1) and the bias moves them back. Groups that share a row's one scale each repeat it.

Shape suffixes: N scales of a row, O outputs, I inputs, P words of 32 bits that a row is packed into.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.lm_generate.quantised import Quantised, is_quantised, quantise
from oildrop.workloads.products_mlx import PRODUCT_DTYPES, linear

Product = Callable[[mx.array], mx.array]
"""From [N, I] to [N, O] in the compute dtype."""

GROUPS = (128, 64, 32)
"""Inputs of a group that MLX's kernel knows."""


def product_of(name: str, weight_OI: NDArray[np.float32], scheme: str, dtype: str) -> Product:
    """The product with the matrix of canonical name `name`."""
    if not is_quantised(name, scheme):
        weight = mx.array(weight_OI).astype(PRODUCT_DTYPES[dtype])
        return lambda x_NI: linear(x_NI, weight, dtype)
    found = quantise(weight_OI, scheme)
    inputs_of_scale = weight_OI.shape[1] // found.scale_ON.shape[1]
    group = next((group for group in GROUPS if inputs_of_scale % group == 0), None)
    if group is None:
        return partial(_unpacked, mx.array(found.q_OI), mx.array(found.scale_ON[:, 0]), dtype)
    return partial(_packed, *_packed_parts(found, group), group, found.bits, PRODUCT_DTYPES[dtype])


def _packed_parts(found: Quantised, group: int) -> tuple[mx.array, mx.array, mx.array]:
    """Words uint32 [O, P], and scales and biases fp32 [O, I / group]."""
    middle = 2 ** (found.bits - 1)
    bytes_OI = (found.q_OI.astype(np.int16) + middle).astype(np.uint8)
    if found.bits == 4:
        bytes_OI = bytes_OI[:, ::2] | bytes_OI[:, 1::2] << 4
    words_OP = np.ascontiguousarray(bytes_OI).view("<u4")
    _, scales = found.scale_ON.shape
    scale = np.repeat(found.scale_ON, found.q_OI.shape[1] // group // scales, axis=1)
    return mx.array(words_OP), mx.array(scale), mx.array(-middle * scale)


def _packed(
    words_OP: mx.array, scale: mx.array, bias: mx.array, group: int, bits: int, dtype: mx.Dtype, x_NI: mx.array
) -> mx.array:
    # On processors the kernel works out q * scale + bias in the type of x: in bfloat16 that rounds int8 to seven bits.
    x_NI = x_NI.astype(dtype).astype(mx.float32)
    product_NO = mx.quantized_matmul(x_NI, words_OP, scale, bias, transpose=True, group_size=group, bits=bits)
    return product_NO.astype(dtype)


def _unpacked(q_OI: mx.array, scale_O: mx.array, dtype: str, x_NI: mx.array) -> mx.array:
    return linear(x_NI, q_OI, dtype) * scale_O.astype(PRODUCT_DTYPES[dtype])
