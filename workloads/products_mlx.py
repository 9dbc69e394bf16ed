"""Matrix products in MLX in one of two precisions, and the activation between them; what is no product stays fp32."""

from __future__ import annotations

import mlx.core as mx

PRODUCT_DTYPES = {"fp32": mx.float32, "bf16": mx.bfloat16}
"""What a product's operands and result are made of, by `execution.dtype`."""


def linear(x: mx.array, weight_OI: mx.array, dtype: str) -> mx.array:
    """`x` [..., I] times the transposed weight, [..., O], in the products' type."""
    product = PRODUCT_DTYPES[dtype]
    return x.astype(product) @ weight_OI.astype(product).T


def silu(x: mx.array) -> mx.array:
    """x sigmoid(x), element by element; the graph that it stands in fuses it with its neighbours."""
    return x * mx.sigmoid(x)
