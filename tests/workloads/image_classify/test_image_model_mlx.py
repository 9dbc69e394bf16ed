"""The MLX network against the float64 reference."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from numpy.typing import NDArray

from oildrop.workloads.gates import norm_difference, one_minus_cosine, relative_rms
from oildrop.workloads.image_classify.augment import as_input
from oildrop.workloads.image_classify.data import Digits
from oildrop.workloads.image_classify.model_mlx import Network, make_model
from oildrop.workloads.image_classify.reference import ModelConfig, config_of, gate_weights, image_losses, logits
from oildrop.workloads.image_classify.reference_gradient import mean_loss_gradient

Weights = dict[str, NDArray[np.float32]]
LIMITS = {"fp32": 1e-6, "bf16": 5e-3}


@pytest.fixture(scope="module")
def config(small_settings: dict[str, Any]) -> ModelConfig:
    return config_of(small_settings | {"model.norm_groups": 4})


@pytest.fixture(scope="module")
def weights(config: ModelConfig) -> Weights:
    return gate_weights(config, 77, 0.2)


@pytest.fixture(scope="module")
def batch(digits: Digits) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    return as_input(digits.images[:24], 16), digits.labels[:24]


@pytest.fixture(autouse=True)
def on_the_processor() -> None:
    mx.set_default_device(mx.cpu)


def on_device(weights: Weights) -> dict[str, mx.array]:
    return {name: mx.array(tensor) for name, tensor in weights.items()}


def test_the_tensors_are_the_references_by_name_and_shape(small_settings: dict[str, Any]) -> None:
    model, expected = make_model(small_settings), config_of(small_settings)
    assert list(model.tensors().items()) == list(expected.tensor_shapes().items())


@pytest.mark.parametrize("dtype", LIMITS)
def test_losses_and_reference_agree(config: ModelConfig, weights: Weights, batch: Any, dtype: str) -> None:
    found = np.array(Network(config=config).losses(on_device(weights), *map(mx.array, batch), dtype=dtype))
    assert found.dtype == np.float32
    difference = relative_rms(found, image_losses(config, weights, *batch))
    assert 0 < difference < LIMITS[dtype]
    # A bfloat16 product rounds to 2^-9: what differs less was computed in fp32.
    assert dtype == "fp32" or difference > 1e-5


@pytest.mark.parametrize(("dtype", "norm", "cosine"), [("fp32", 1e-5, 1e-10), ("bf16", 3e-2, 1e-3)])
def test_gradients_and_reference_agree(
    config: ModelConfig, weights: Weights, batch: Any, dtype: str, norm: float, cosine: float
) -> None:
    model = Network(config=config)
    found = mx.grad(lambda w: model.losses(w, *map(mx.array, batch), dtype=dtype).mean())(on_device(weights))
    _, expected = mean_loss_gradient(config, weights, *batch)
    assert list(found) == list(expected)
    for name, gradient in found.items():
        assert gradient.dtype == mx.float32
        assert norm_difference(np.array(gradient), expected[name]) < norm, name
        assert one_minus_cosine(np.array(gradient), expected[name]) < cosine, name


def test_score_gives_the_losses_and_who_was_right(config: ModelConfig, weights: Weights, batch: Any) -> None:
    model, inputs = Network(config=config), [mx.array(array) for array in batch]
    losses, right = model.score(on_device(weights), *inputs, dtype="fp32")
    assert np.array_equal(np.array(losses), np.array(model.losses(on_device(weights), *inputs, dtype="fp32")))
    likeliest = logits(config, weights, batch[0]).argmax(axis=1)
    assert np.array_equal(np.array(right), likeliest == batch[1])
    assert 0 < int(right.sum()) < right.size
