"""Products with a weight matrix in JAX, stored once as the settings say: fp32, bf16, or whole numbers with scales.

Whole numbers become the compute dtype inside the product's graph, so memory holds and the compiler reads them as they
are: int8 one byte each, int4 half a byte.

Shape suffixes: N scales of a row, O outputs, I inputs.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike
from numpy.typing import NDArray

from oildrop.workloads.lm_generate.quantised import is_quantised, quantise
from oildrop.workloads.products_jax import PRODUCT_DTYPES, linear

Stored = Array | tuple[Array, Array]
"""A matrix [O, I] in the compute dtype, or its whole numbers [O, I] and their scales [O, N]."""

WHOLE_NUMBERS: dict[int, DTypeLike] = {8: jnp.int8, 4: jnp.int4}
"""By bits."""


def stored(name: str, weight_OI: NDArray[np.float32], scheme: str, dtype: str, device: jax.Device) -> Stored:
    """The matrix of canonical name `name` on `device`, which keeps nothing of the caller's memory."""
    if not is_quantised(name, scheme):
        return jax.device_put(np.array(weight_OI, dtype=PRODUCT_DTYPES[dtype]), device, may_alias=False)
    found = quantise(weight_OI, scheme)
    q_OI = found.q_OI.astype(WHOLE_NUMBERS[found.bits])
    # Scales are exact in bfloat16, so that either dtype holds them as they are.
    return jax.device_put(q_OI, device), jax.device_put(found.scale_ON.astype(PRODUCT_DTYPES[dtype]), device)


def times(matrix: Stored, x: Array, dtype: str) -> Array:
    """`matrix` applied to the last axis, [..., I] to [..., O] in the compute dtype."""
    if isinstance(matrix, Array):
        return linear(x, matrix, dtype)
    q_OI, scale_ON = matrix
    if scale_ON.shape[1] == 1:
        return linear(x, q_OI, dtype) * scale_ON[:, 0]
    weight_ONI = q_OI.astype(PRODUCT_DTYPES[dtype]).reshape(*scale_ON.shape, -1) * scale_ON[..., None]
    return linear(x, weight_ONI.reshape(q_OI.shape), dtype)
