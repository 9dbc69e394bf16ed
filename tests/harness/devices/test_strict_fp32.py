"""The proof that fp32 is fp32: formats that hardware really uses, modelled in float64, are told apart."""

from __future__ import annotations

import numpy as np
import pytest

from oildrop.harness.devices.strict_fp32 import SIZE, WIDE_BITS, Multiply, factors, require_exact_products
from oildrop.rules.errors import Unsupported


def rounded(matrix, bits: int):
    """To `bits` bits of fraction, the hidden one counted."""
    fraction, exponent = np.frexp(np.asarray(matrix, dtype=np.float64))
    return np.ldexp(np.round(fraction * 2**bits) / 2**bits, exponent)


def shortened(left_bits: int, right_bits: int) -> Multiply:
    return lambda left, right: (rounded(left, left_bits) @ rounded(right, right_bits)).astype(np.float32)


def bf16_passes(parts: int) -> Multiply:
    """The product as TPUs put it together: each factor a sum of bfloat16 `parts`, small cross products left out."""

    def split(matrix):
        rest, found = np.asarray(matrix, dtype=np.float64), []
        for _ in range(parts):
            found.append(rounded(rest, 8))
            rest = rest - found[-1]
        return found

    def multiply(left, right):
        pairs = [(a, b) for i, a in enumerate(split(left)) for j, b in enumerate(split(right)) if i + j < parts]
        return sum(a @ b for a, b in pairs).astype(np.float32)

    return multiply


@pytest.mark.parametrize(
    "multiply", [np.matmul, shortened(24, 24), bf16_passes(3)], ids=["fp32", "24 bits", "6 passes"]
)
def test_full_fp32_passes_with_the_wide_factor_on_either_side(multiply: Multiply) -> None:
    products = []
    require_exact_products("any", "matrix product", lambda *sides: products.append(multiply(*sides)) or products[-1])
    wide, few = (matrix.astype(object) for matrix in factors())  # Python's integers, of any length
    assert [product[0].tolist() for product in products] == [(wide[0] @ few).tolist(), (few[0] @ wide).tolist()]


@pytest.mark.parametrize(
    "multiply",
    [
        shortened(8, 8),
        shortened(11, 11),
        shortened(11, 24),
        shortened(24, 11),
        bf16_passes(2),
        lambda left, right: rounded(left @ right, 16).astype(np.float32),
        lambda left, right: np.full((SIZE, SIZE), np.nan, np.float32),
    ],
    ids=["bf16", "tf32", "left tf32", "right tf32", "3 passes", "short sums", "nan"],
)
def test_every_shorter_product_is_refused_with_what_to_do(multiply: Multiply) -> None:
    with pytest.raises(Unsupported, match=r"^any: an fp32 matrix product is off by .* unset variables"):
        require_exact_products("any", "matrix product", multiply)


def test_every_partial_sum_is_a_whole_number_that_fp32_holds() -> None:
    wide, few = factors()
    assert wide.max() < 2**WIDE_BITS and (wide % 2 == 1).all()
    assert max(np.abs(few).sum(0).max(), np.abs(few).sum(1).max()) * wide.max() < 2**24
