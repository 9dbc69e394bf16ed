from __future__ import annotations

import numpy as np
import pytest

from oildrop.workloads.image_classify import reference
from oildrop.workloads.image_classify.augment import as_input
from oildrop.workloads.image_classify.data import Digits
from oildrop.workloads.image_classify.reference import ModelConfig

CONFIG = ModelConfig(width=16, norm_groups=8, norm_epsilon=1e-5)


def test_shapes_follow_the_widths_and_hold_the_stated_number_of_parameters() -> None:
    shapes = ModelConfig(width=24, norm_groups=8, norm_epsilon=1e-5).tensor_shapes()
    assert list(shapes)[:3] == ["layers.0.conv.weight", "layers.0.norm.weight", "layers.0.norm.bias"]
    assert shapes["layers.3.conv.weight"] == (96, 48, 3, 3)
    assert shapes["head.weight"] == (10, 96)
    convolutions = 9 * (1 * 24 + 24 * 48 + 48 * 48 + 48 * 96)
    norms, head = 2 * (24 + 48 + 48 + 96), 960 + 10
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == convolutions + norms + head == 74_194


def test_initial_weights_have_the_spread_of_their_fan_in() -> None:
    weights = reference.initial_weights(ModelConfig(width=32, norm_groups=8, norm_epsilon=1e-5), 4)
    assert weights["layers.2.conv.weight"].std() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.02)
    assert weights["head.weight"].std() == pytest.approx((1 / 128) ** 0.5, rel=0.05)
    assert (weights["layers.1.norm.weight"] == 1).all()
    assert (weights["layers.1.norm.bias"] == 0).all()


def test_losses_of_silent_weights_are_the_logarithm_of_ten(digits: Digits) -> None:
    weights = {name: np.zeros(shape) for name, shape in CONFIG.tensor_shapes().items()}
    losses = reference.image_losses(CONFIG, weights, as_input(digits.images[:5], 16), digits.labels[:5])
    assert losses == pytest.approx(np.full(5, np.log(10.0)), rel=1e-15)


def test_reference_equals_torch_in_float64(digits: Digits) -> None:
    torch = pytest.importorskip("torch")
    from oildrop.workloads.image_classify import model_torch

    weights = reference.gate_weights(CONFIG, 3, 0.2)
    expected = reference.image_losses(CONFIG, weights, as_input(digits.images[:33], 16), digits.labels[:33])
    model = model_torch.Network(CONFIG).double()
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    images = torch.from_numpy(as_input(digits.images[:33], 16)).double()
    losses, right = model.score(images, torch.from_numpy(digits.labels[:33]))
    assert losses.detach().numpy() == pytest.approx(expected, rel=1e-12)
    logits = reference.logits(CONFIG, weights, as_input(digits.images[:33], 16))
    assert np.array_equal(right.numpy(), logits.argmax(axis=1) == digits.labels[:33])


def test_one_pixel_through_one_layer_by_hand() -> None:
    # A single bright pixel picks the kernel, turned by half a turn, out of the sum.
    image = np.zeros((1, 1, 8, 8))
    image[0, 0, 3, 4] = 2.0
    kernel = np.arange(9.0).reshape(1, 1, 3, 3)
    found = reference._convolve(image, kernel, 1)
    assert found[0, 0, 2:5, 3:6].tolist() == [[16.0, 14.0, 12.0], [10.0, 8.0, 6.0], [4.0, 2.0, 0.0]]
    assert found.sum() == 72.0
    assert np.array_equal(reference._convolve(image, kernel, 2), found[:, :, ::2, ::2])
