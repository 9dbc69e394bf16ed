"""The MLX decoder against the float64 reference."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from numpy.typing import NDArray

from oildrop.workloads.gates import norm_difference, one_minus_cosine, relative_rms
from oildrop.workloads.lm_pretrain.grammar import Grammar
from oildrop.workloads.lm_pretrain.model_mlx import Decoder, make_model
from oildrop.workloads.lm_pretrain.reference import (
    ModelShape,
    gate_weights,
    in_float64,
    logits,
    residual_stream,
    shape_of,
    token_losses,
)
from oildrop.workloads.lm_pretrain.reference_gradient import mean_loss_gradient
from oildrop.workloads.lm_pretrain.source import Source

Weights = dict[str, NDArray[np.float32]]
LIMITS = {"fp32": 1e-6, "bf16": 5e-3}


@pytest.fixture(scope="module")
def tokens(grammar: Grammar) -> NDArray[np.int32]:
    return Source(grammar).documents(77, 0, 4, part="gate")[0]


@pytest.fixture(scope="module")
def weights(shape: ModelShape) -> Weights:
    return gate_weights(shape, 77, 0.06)


@pytest.fixture(autouse=True)
def on_the_processor() -> None:
    mx.set_default_device(mx.cpu)


def on_device(weights: Weights) -> dict[str, mx.array]:
    return {name: mx.array(tensor) for name, tensor in weights.items()}


def test_the_tensors_are_the_references_by_name_and_shape(tiny_settings: dict[str, Any]) -> None:
    model, expected = make_model(tiny_settings), shape_of(tiny_settings)
    assert list(model.tensors().items()) == list(expected.tensors().items())


@pytest.mark.parametrize("dtype", LIMITS)
def test_losses_and_reference_agree(shape: ModelShape, weights: Weights, tokens: Any, dtype: str) -> None:
    found = np.array(Decoder(shape=shape).losses(on_device(weights), mx.array(tokens), dtype=dtype))
    assert found.dtype == np.float32
    difference = relative_rms(found, token_losses(weights, tokens, shape))
    assert 0 < difference < LIMITS[dtype]
    # A bfloat16 product rounds to 2^-9: what differs less was computed in fp32.
    assert dtype == "fp32" or difference > 1e-5


@pytest.mark.parametrize(("dtype", "norm", "cosine"), [("fp32", 1e-5, 1e-10), ("bf16", 3e-2, 1e-3)])
def test_gradients_and_reference_agree(
    shape: ModelShape, weights: Weights, tokens: Any, dtype: str, norm: float, cosine: float
) -> None:
    model = Decoder(shape=shape)
    found = mx.grad(lambda w: model.losses(w, mx.array(tokens), dtype=dtype).mean())(on_device(weights))
    _, expected = mean_loss_gradient(weights, tokens, shape)
    assert list(found) == list(expected)
    for name, gradient in found.items():
        assert gradient.dtype == mx.float32
        assert norm_difference(np.array(gradient), expected[name]) < norm, name
        assert one_minus_cosine(np.array(gradient), expected[name]) < cosine, name


def test_score_gives_the_losses_and_who_was_right(shape: ModelShape, weights: Weights, tokens: Any) -> None:
    # The language of the fixture is guessed right now and then only by a head that follows the embedding.
    weights = weights | {"head_VW": weights["embedding_VW"]}
    model, batch = Decoder(shape=shape), mx.array(tokens)
    losses, right = model.score(on_device(weights), batch, dtype="fp32")
    assert np.array_equal(np.array(losses), np.array(model.losses(on_device(weights), batch, dtype="fp32")))
    w = in_float64(weights)
    likeliest = logits(residual_stream(w, tokens[:, :-1], shape)[-1], w, shape).argmax(axis=-1)
    assert np.array_equal(np.array(right), likeliest == tokens[:, 1:])
    assert 0 < int(right.sum()) < right.size
