"""Matrix products in JAX in one of two precisions; what is not a product stays fp32.

`fp32` is strict: products of fp32 elements in full, also where the hardware would shorten them by default. `bf16`
rounds a product's operands to bfloat16 and hands its result on as bfloat16; the sums inside are the hardware's.

Shape suffixes: B images, H rows, W columns, C channels; a weight `_OI` maps I inputs to O outputs, R and S are the
rows and columns of a kernel.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jax.lax import Precision, conv_general_dilated
from jax.typing import DTypeLike

PRODUCT_DTYPES: dict[str, DTypeLike] = {"fp32": jnp.float32, "bf16": jnp.bfloat16}
"""What a product's operands and result are made of, by `execution.dtype`."""

_PRECISION = {"fp32": Precision.HIGHEST, "bf16": Precision.DEFAULT}
"""What the compiler may do with operands: in `fp32` it may not shorten them."""


def product(formula: str, left: Array, right: Array, dtype: str) -> Array:
    """The sums of products that `formula` states in einsum's notation."""
    element = PRODUCT_DTYPES[dtype]
    return jnp.einsum(
        formula,
        left.astype(element),
        right.astype(element),
        precision=_PRECISION[dtype],
        preferred_element_type=element,
    )


def linear(x: Array, weight_OI: Array, dtype: str) -> Array:
    """`weight_OI` applied to the last axis, [..., I] to [..., O]."""
    return product("...i,oi->...o", x, weight_OI, dtype)


def convolution(x_BHWC: Array, weight_OIRS: Array, stride: int, padding: int, dtype: str) -> Array:
    """Cross-correlation with `padding` pixels of zeros around, at every `stride`-th position, [B, H, W, O]."""
    return conv_general_dilated(
        x_BHWC.astype(PRODUCT_DTYPES[dtype]),
        weight_OIRS.astype(PRODUCT_DTYPES[dtype]),
        window_strides=(stride, stride),
        padding=((padding, padding), (padding, padding)),
        # Weights stay as every framework stores them; on a CPU no other layout was faster.
        dimension_numbers=("NHWC", "OIHW", "NHWC"),
        precision=_PRECISION[dtype],
        preferred_element_type=PRODUCT_DTYPES[dtype],
    )
