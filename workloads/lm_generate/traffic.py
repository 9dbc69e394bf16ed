"""How many bytes one decode step reads, from the model's sizes alone."""

from __future__ import annotations

import math

from oildrop.workloads.lm_generate.quantised import GROUP, is_quantised
from oildrop.workloads.lm_pretrain.reference import ModelShape

ITEM_BYTES = {"fp32": 4, "bf16": 2}
SCALE_BYTES = 2
"""A scale is a bfloat16."""


def weight_bytes(shape: ModelShape, dtype: str, scheme: str) -> int:
    """Bytes of all weights that a step reads whatever it answers: every matrix and norm but the embedding.

    Args:
        dtype: `fp32` or `bf16`: of matrices that are not quantised; norms are fp32.
        scheme: `as-trained`, `int8` or `int4`.
    """
    return sum(
        _tensor_bytes(name, size, dtype, scheme) for name, size in shape.tensors().items() if name != "embedding_VW"
    )


def _tensor_bytes(name: str, size: tuple[int, ...], dtype: str, scheme: str) -> int:
    count = math.prod(size)
    if len(size) == 1:
        return count * ITEM_BYTES["fp32"]
    if not is_quantised(name, scheme):
        return count * ITEM_BYTES[dtype]
    outputs, inputs = size
    if scheme == "int4" and inputs % GROUP == 0:
        return count // 2 + outputs * (inputs // GROUP) * SCALE_BYTES
    return count + outputs * SCALE_BYTES


def cache_bytes(shape: ModelShape, dtype: str, positions: int) -> int:
    """Bytes of keys and values of `positions` positions of one row, in every layer."""
    return 2 * shape.layers * shape.key_value_heads * shape.head_width * positions * ITEM_BYTES[dtype]
