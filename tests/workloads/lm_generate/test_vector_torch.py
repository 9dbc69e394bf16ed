"""Our product of a matrix with a vector beside exact sums: borders of lanes and words, and what it is not made for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from oildrop.rules.errors import Unsupported
from oildrop.workloads.lm_generate import vector_torch
from oildrop.workloads.lm_generate.vector_torch import LEAST, takes, vector_product

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("inductor")]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8])
@pytest.mark.parametrize(("outputs", "inputs"), [(1, 2), (3, 30), (5, 32), (4, 34), (7, 770)])
def test_sums_of_whole_numbers_are_exact(dtype: torch.dtype, outputs: int, inputs: int) -> None:
    dice = np.random.default_rng(outputs * inputs)
    weight = dice.integers(-100, 101, (outputs, inputs))
    x = dice.integers(-50, 51, inputs)
    found = vector_product(torch.tensor(weight).to(dtype), torch.tensor(x, dtype=torch.float32))
    assert found.tolist() == (weight @ x).tolist()  # under 2**24, so fp32 holds each partial sum


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fractions_are_summed_to_fp32_accuracy(dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    weight, x = torch.randn(64, 1000).to(dtype), torch.randn(2000)[::2]
    exact = weight.double() @ x.double()
    bound = 1000 * 2.0**-24 * (weight.double().abs() @ x.double().abs())
    assert ((vector_product(weight, x) - exact).abs() <= bound).all()


def test_it_is_made_for_large_matrices_on_a_processor() -> None:
    rows = LEAST // 512
    assert takes(torch.empty(rows, 512)) and takes(torch.empty(rows, 512, dtype=torch.int8))
    assert not takes(torch.empty(rows - 1, 512))
    assert not takes(torch.empty(2 * rows, 511))
    assert not takes(torch.empty(rows, 512, dtype=torch.float16))
    assert not takes(torch.empty(512, rows).t())
    assert not takes(torch.empty(rows, 512, device="meta"))


def test_a_compiler_that_fails_is_unsupported_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    build = vector_torch._library.__wrapped__
    source = vector_torch.SOURCE.read_text() + "\nnot a word of C++\n"
    monkeypatch.setattr(type(vector_torch.SOURCE), "read_text", lambda self: source)
    with pytest.raises(Unsupported, match=r"does not build vector_products.cpp: .*execution.compile=eager"):
        build()
