"""The JAX network against the float64 reference."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
from numpy.typing import NDArray

from oildrop.workloads.gates import norm_difference, one_minus_cosine, relative_rms
from oildrop.workloads.image_classify.augment import as_input
from oildrop.workloads.image_classify.data import Digits
from oildrop.workloads.image_classify.model_jax import Network, make_model
from oildrop.workloads.image_classify.reference import ModelConfig, config_of, gate_weights, image_losses, logits
from oildrop.workloads.image_classify.reference_gradient import mean_loss_gradient

# Other platforms' parts may be installed; asking for them takes time and prints.
jax.config.update("jax_platforms", "cpu")

Weights = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def config(small_settings: dict[str, Any]) -> ModelConfig:
    return config_of(small_settings | {"model.norm_groups": 4})


@pytest.fixture(scope="module")
def weights(config: ModelConfig) -> Weights:
    return gate_weights(config, 77, 0.2)


@pytest.fixture(scope="module")
def batch(digits: Digits) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    return as_input(digits.images[:24], 16), digits.labels[:24]


@pytest.fixture(scope="module")
def limits(full_settings: dict[str, Any]) -> dict[str, float]:
    return {"fp32": 1e-6, "bf16": float(full_settings["gates.limits.bf16.loss_train"])}


def mean_loss(weights: Any, batch: Any, model: Network, dtype: str) -> Any:
    losses = model.losses(weights, *batch, dtype=dtype)
    return losses.mean(), losses


def gradient_graph(config: ModelConfig, dtype: str) -> Any:
    return jax.jit(jax.grad(partial(mean_loss, model=Network(config=config), dtype=dtype), has_aux=True))


@pytest.fixture(scope="module", params=["fp32", "bf16"])
def found(request: Any, config: ModelConfig, weights: Weights, batch: Any) -> Any:
    """The type, the gradient of the mean loss and the losses."""
    return request.param, *gradient_graph(config, request.param)(weights, batch)


def test_the_tensors_are_the_references_by_name_and_shape(small_settings: dict[str, Any]) -> None:
    model, expected = make_model(small_settings), config_of(small_settings)
    assert list(model.tensors().items()) == list(expected.tensor_shapes().items())


def test_losses_and_reference_agree(config: ModelConfig, weights: Weights, batch: Any, limits: Any, found: Any) -> None:
    dtype, _, losses = found
    assert losses.dtype == np.float32 and losses.shape == (24,)
    difference = relative_rms(np.array(losses), image_losses(config, weights, *batch))
    assert 0 < difference < limits[dtype]
    # A bfloat16 product rounds to 2^-9: what differs less was computed in fp32.
    assert dtype == "fp32" or difference > 1e-5


def test_gradients_and_reference_agree(config: ModelConfig, weights: Weights, batch: Any, found: Any) -> None:
    dtype, gradient, _ = found
    norm, cosine = {"fp32": (1e-5, 1e-10), "bf16": (3e-2, 1e-3)}[dtype]
    _, expected = mean_loss_gradient(config, weights, *batch)
    assert gradient.keys() == expected.keys()
    for name, tensor in gradient.items():
        assert tensor.dtype == np.float32
        assert norm_difference(np.array(tensor), expected[name]) < norm, name
        assert one_minus_cosine(np.array(tensor), expected[name]) < cosine, name


def test_gradients_are_slopes_of_the_reference(config: ModelConfig, weights: Weights, batch: Any, found: Any) -> None:
    """Central differences of the float64 losses at the entry of largest gradient of each kind of tensor."""
    dtype, gradient, _ = found
    for name in ("layers.1.conv.weight", "layers.2.norm.weight", "layers.3.norm.bias", "head.weight", "head.bias"):
        place = np.unravel_index(np.abs(gradient[name]).argmax(), gradient[name].shape)
        sides = []
        for step in (1e-4, -1e-4):
            moved = {other: tensor.astype(np.float64) for other, tensor in weights.items()}
            moved[name][place] += step
            sides.append(image_losses(config, moved, *batch).mean())
        slope = (sides[0] - sides[1]) / 2e-4
        assert float(gradient[name][place]) == pytest.approx(slope, rel=1e-4 if dtype == "fp32" else 2e-2), name


@pytest.mark.parametrize(("dtype", "element"), [("fp32", "f32"), ("bf16", "bf16")])
def test_every_product_is_of_its_type_and_fp32_may_not_be_shortened(
    config: ModelConfig, weights: Weights, batch: Any, dtype: str, element: str
) -> None:
    lowered = gradient_graph(config, dtype).lower(weights, batch).as_text().splitlines()
    products = [line for line in lowered if "stablehlo.convolution" in line or "stablehlo.dot_general" in line]
    # Four convolutions and the head forward, twice as many backward, but nothing asks for the image's gradient.
    assert len(products) == 3 * 5 - 1
    for line in products:
        assert set(re.findall(r"tensor<[0-9x]*?(b?f\d+)>", line)) == {element}, line
        assert line.count("HIGHEST") == (2 if dtype == "fp32" else 0), line


def test_score_gives_the_losses_and_who_was_right(config: ModelConfig, weights: Weights, batch: Any) -> None:
    losses, right = jax.jit(partial(Network(config=config).score, dtype="fp32"))(weights, *batch)
    assert relative_rms(np.array(losses), image_losses(config, weights, *batch)) < 1e-6
    likeliest = logits(config, weights, batch[0]).argmax(axis=1)
    assert np.array_equal(np.array(right), likeliest == batch[1])
    assert 0 < int(right.sum()) < right.size
