"""The JAX decoder against the float64 reference."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
from numpy.typing import NDArray

from oildrop.workloads.gates import norm_difference, one_minus_cosine, relative_rms
from oildrop.workloads.lm_pretrain.grammar import Grammar
from oildrop.workloads.lm_pretrain.model_jax import Decoder, make_model
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

# Other platforms' parts may be installed; asking for them takes time and prints.
jax.config.update("jax_platforms", "cpu")

Weights = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def tokens(grammar: Grammar) -> NDArray[np.int32]:
    return Source(grammar).documents(77, 0, 4, part="gate")[0]


@pytest.fixture(scope="module")
def weights(shape: ModelShape) -> Weights:
    return gate_weights(shape, 77, 0.06)


@pytest.fixture(scope="module")
def limits(nano_settings: dict[str, Any]) -> dict[str, float]:
    return {"fp32": 1e-6, "bf16": float(nano_settings["gates.limits.bf16.loss_train"])}


def mean_loss(weights: Any, tokens: Any, model: Decoder, dtype: str) -> Any:
    losses = model.losses(weights, tokens, dtype=dtype)
    return losses.mean(), losses


@pytest.fixture(scope="module", params=["fp32", "bf16"])
def found(request: Any, shape: ModelShape, weights: Weights, tokens: Any) -> Any:
    """The type, the losses and the gradient of their mean."""
    graph = jax.jit(
        jax.value_and_grad(partial(mean_loss, model=Decoder(shape=shape), dtype=request.param), has_aux=True)
    )
    (_, losses), gradient = graph(weights, tokens)
    return request.param, losses, gradient


def test_the_tensors_are_the_references_by_name_and_shape(tiny_settings: dict[str, Any]) -> None:
    model, expected = make_model(tiny_settings), shape_of(tiny_settings)
    assert list(model.tensors().items()) == list(expected.tensors().items())


def test_losses_and_reference_agree(shape: ModelShape, weights: Weights, tokens: Any, limits: Any, found: Any) -> None:
    dtype, losses, _ = found
    assert losses.dtype == np.float32 and losses.shape == (4, shape.positions)
    difference = relative_rms(np.array(losses), token_losses(weights, tokens, shape))
    assert 0 < difference < limits[dtype]
    # A bfloat16 product rounds to 2^-9: what differs less was computed in fp32.
    assert dtype == "fp32" or difference > 1e-5


@pytest.mark.parametrize("key_value_heads", [2, 4])
def test_neighbouring_query_heads_share_a_key_value_head(shape: ModelShape, tokens: Any, key_value_heads: int) -> None:
    other = replace(shape, layers=1, heads=4, key_value_heads=key_value_heads)
    weights = gate_weights(other, 78, 0.2)
    losses = jax.jit(partial(Decoder(shape=other).losses, dtype="fp32"))(weights, tokens)
    assert relative_rms(np.array(losses), token_losses(weights, tokens, other)) < 1e-6


def test_gradients_and_reference_agree(shape: ModelShape, weights: Weights, tokens: Any, found: Any) -> None:
    dtype, _, gradient = found
    norm, cosine = {"fp32": (1e-5, 1e-10), "bf16": (3e-2, 1e-3)}[dtype]
    _, expected = mean_loss_gradient(weights, tokens, shape)
    assert gradient.keys() == expected.keys()
    for name, tensor in gradient.items():
        assert tensor.dtype == np.float32
        assert norm_difference(np.array(tensor), expected[name]) < norm, name
        assert one_minus_cosine(np.array(tensor), expected[name]) < cosine, name


def test_gradients_are_slopes_of_the_reference(shape: ModelShape, weights: Weights, tokens: Any, found: Any) -> None:
    """Central differences of the float64 losses at the entry of largest gradient of each kind of tensor."""
    dtype, _, gradient = found
    for name in ("embedding_VW", "layers.0.query_key_value_OI", "layers.1.attention_norm_W", "layers.1.down_OI"):
        place = np.unravel_index(np.abs(gradient[name]).argmax(), gradient[name].shape)
        sides = []
        for step in (1e-4, -1e-4):
            moved = {other: tensor.astype(np.float64) for other, tensor in weights.items()}
            moved[name][place] += step
            sides.append(token_losses(moved, tokens, shape).mean())
        slope = (sides[0] - sides[1]) / 2e-4
        assert float(gradient[name][place]) == pytest.approx(slope, rel=1e-4 if dtype == "fp32" else 2e-2), name


@pytest.mark.parametrize(("dtype", "element"), [("fp32", "f32"), ("bf16", "bf16")])
def test_every_product_is_of_its_type_and_fp32_may_not_be_shortened(
    shape: ModelShape, weights: Weights, tokens: Any, dtype: str, element: str
) -> None:
    gradient = jax.jit(jax.grad(partial(mean_loss, model=Decoder(shape=shape), dtype=dtype), has_aux=True))
    products = [line for line in gradient.lower(weights, tokens).as_text().splitlines() if "dot_general" in line]
    # Forward six in each of two layers and the head; backward twice as many.
    assert len(products) == 3 * (2 * 6 + 1)
    for line in products:
        assert set(re.findall(r"tensor<[0-9x]*?(b?f\d+)>", line)) == {element}, line
        assert ("[HIGHEST, HIGHEST]" in line) is (dtype == "fp32"), line


def test_score_gives_the_losses_and_who_was_right(shape: ModelShape, weights: Weights, tokens: Any) -> None:
    # The language of the fixture is guessed right now and then only by a head that follows the embedding.
    weights = weights | {"head_VW": weights["embedding_VW"]}
    losses, right = jax.jit(partial(Decoder(shape=shape).score, dtype="fp32"))(weights, tokens)
    assert relative_rms(np.array(losses), token_losses(weights, tokens, shape)) < 1e-6
    w = in_float64(weights)
    likeliest = logits(residual_stream(w, tokens[:, :-1], shape)[-1], w, shape).argmax(axis=-1)
    assert np.array_equal(np.array(right), likeliest == tokens[:, 1:])
    assert 0 < int(right.sum()) < right.size
