"""Matrices in blocks multiply as NumPy does in float64, whatever their sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from oildrop.workloads.lm_generate import products_torch
from oildrop.workloads.lm_generate.blocks_torch import Blocks, ByteBlocks
from oildrop.workloads.lm_generate.products_torch import product_of

SIZES = [(16, 8), (48, 5), (7, 33), (1, 1), (2048, 96)]
DTYPES = [torch.float32, torch.bfloat16]


def drawn(*size: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(size[-1]).standard_normal(size).astype(np.float32))


def exact(x_NI: torch.Tensor, weight_OI: torch.Tensor) -> np.ndarray:
    return x_NI.double().numpy() @ weight_OI.double().numpy().T


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_row(size: tuple[int, int], dtype: torch.dtype) -> None:
    weight_OI, x_1I = drawn(*size).to(dtype), drawn(1, size[1]).to(dtype)
    blocks = Blocks(size, dtype)
    blocks.load(weight_OI)
    np.testing.assert_allclose(blocks.sums(x_1I).numpy(), exact(x_1I, weight_OI), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_whole_numbers_of_four_inputs_a_word(size: tuple[int, int]) -> None:
    q_OI = torch.from_numpy(np.random.default_rng(7).integers(-127, 128, size, dtype=np.int8))
    x_1I = drawn(1, size[1])
    blocks = ByteBlocks(size)
    blocks.load(q_OI)
    np.testing.assert_allclose(blocks.sums(x_1I).numpy(), exact(x_1I, q_OI), rtol=1e-5, atol=2e-3)


def test_each_place_of_a_word_keeps_its_sign() -> None:
    """One input at a time: the product is that column, exactly, for the least, the greatest and those around zero."""
    values = torch.tensor([-127, -126, -1, 0, 1, 126, 127], dtype=torch.int8)
    blocks = ByteBlocks((7, 6))
    blocks.load(values[:, None].expand(7, 6))
    for place in range(6):
        x_1I = torch.zeros(1, 6)
        x_1I[0, place] = 1.0
        assert blocks.sums(x_1I)[0].tolist() == values.tolist()


def test_new_weights_are_written_into_the_memory_that_graphs_read() -> None:
    blocks = Blocks((20, 4), torch.float32)
    place = blocks._weight_BIC.data_ptr()
    for seed in (1, 2):
        weight_OI = drawn(20, 4) * seed
        blocks.load(weight_OI)
        assert blocks._weight_BIC.data_ptr() == place
        assert torch.equal(blocks._weight_BIC[0, :, 3], weight_OI[3])
    assert not blocks._weight_BIC[2, :, 4:].any()


@pytest.mark.parametrize("turned", [(2, 256), (0, 0)])
@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_product_is_the_same_turned_or_not(
    monkeypatch: pytest.MonkeyPatch, turned: tuple[int, int], rows: int, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(products_torch, "_rows_turned", lambda *_: turned)
    product = product_of("head_VW", (40, 24), "as-trained", dtype, torch.device("cpu"), blocks=True)
    weight_OI = drawn(40, 24)
    product.load(weight_OI.numpy())
    x_NI = drawn(rows, 24).to(dtype)
    found_NO = product(x_NI)
    assert found_NO.dtype == dtype and found_NO.is_contiguous()
    tolerance = 1e-5 if dtype == torch.float32 else 1e-2
    expected_NO = exact(x_NI, weight_OI.to(dtype))
    np.testing.assert_allclose(found_NO.float().numpy(), expected_NO, rtol=tolerance, atol=tolerance)
