"""Whole-number weights: scales, rounding and bounds by hand, bfloat16 by another library."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from oildrop.workloads.lm_generate.quantised import as_served, is_quantised, quantise, to_bfloat16
from oildrop.workloads.lm_generate.traffic import cache_bytes, weight_bytes
from oildrop.workloads.lm_pretrain.reference import ModelShape


def test_bfloat16_rounds_as_ml_dtypes_does() -> None:
    x = np.random.default_rng(0).normal(size=10_000).astype(np.float32) * np.float32(1e-3)
    x[:3] = 1 + 2**-8, 1 + 3 * 2**-8, -(1 + 2**-9)  # two ties and one below
    assert np.array_equal(to_bfloat16(x), x.astype(ml_dtypes.bfloat16).astype(np.float32))


def test_int8_by_hand() -> None:
    weight = np.array([[127.0, -64.4, 0.5, 1.5], [0, 0, 0, 0], [-2.0, 1.0, 0.25, 0]], dtype=np.float32)
    found = quantise(weight, "int8")
    assert found.bits == 8 and found.scale_ON.shape == (3, 1)
    assert found.scale_ON[0] == 1 and found.scale_ON[1] == 1
    assert found.q_OI[0].tolist() == [127, -64, 0, 2]  # halves go to even
    assert found.q_OI[1].tolist() == [0, 0, 0, 0]
    scale = np.float32(np.float32(2 / 127).astype(ml_dtypes.bfloat16))
    assert found.scale_ON[2, 0] == scale
    assert found.values()[2].tolist() == (found.q_OI[2] * scale).tolist()


def test_int4_has_a_scale_for_each_32_inputs_and_keeps_to_7() -> None:
    weight = np.random.default_rng(1).normal(size=(5, 96)).astype(np.float32)
    found = quantise(weight, "int4")
    assert found.bits == 4 and found.scale_ON.shape == (5, 3)
    assert np.abs(found.q_OI).max() == 7
    error = np.abs(found.values() - weight).reshape(5, 3, 32).max(axis=-1)
    # Half a step, and what rounding the scale moved the largest by.
    assert (error <= found.scale_ON * (0.5 + 7 * 2**-8)).all()


def test_a_matrix_that_groups_do_not_divide_is_int8() -> None:
    assert quantise(np.ones((2, 40), dtype=np.float32), "int4").bits == 8


def test_norms_and_embedding_stay() -> None:
    names = ["embedding_VW", "layers.0.attention_norm_W", "layers.0.down_OI", "norm_W", "head_VW"]
    assert [is_quantised(name, "int8") for name in names] == [False, False, True, False, True]
    assert not any(is_quantised(name, "as-trained") for name in names)
    weights = {"norm_W": np.ones(3, dtype=np.float32), "head_VW": np.array([[1, 0.3, 0.2]], dtype=np.float32)}
    served = as_served(weights, "int8")
    assert served["norm_W"] is weights["norm_W"]
    assert served["head_VW"].tolist() != weights["head_VW"].tolist()


def test_bytes_of_a_step_by_hand() -> None:
    shape = ModelShape(
        vocabulary=10, positions=8, layers=2, width=64, heads=4, key_value_heads=2, hidden=40, norm_epsilon=1e-5,
        rotary_base=1e4,
    )  # fmt: skip
    products, norms = 2 * (128 * 64 + 64 * 64 + 80 * 64 + 64 * 40) + 10 * 64, (2 * 2 + 1) * 64
    assert weight_bytes(shape, "fp32", "as-trained") == 4 * (products + norms)
    assert weight_bytes(shape, "bf16", "as-trained") == 2 * products + 4 * norms
    rows = 2 * (128 + 64 + 80 + 64) + 10
    assert weight_bytes(shape, "bf16", "int8") == products + 2 * rows + 4 * norms
    in_int4 = 2 * (128 * 64 + 64 * 64 + 80 * 64) + 10 * 64  # 32 does not divide the 40 inputs of `down`
    in_int8, rows_int8 = 2 * 64 * 40, 2 * 64
    expected = in_int4 // 2 + in_int4 // 32 * 2 + in_int8 + 2 * rows_int8 + 4 * norms
    assert weight_bytes(shape, "bf16", "int4") == expected
    assert cache_bytes(shape, "bf16", 5) == 2 * 2 * 2 * 16 * 5 * 2
    assert cache_bytes(shape, "fp32", 0) == 0
