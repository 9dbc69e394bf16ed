"""The gradient by hand against differences of losses, automatic differentiation, and what needs neither."""

from __future__ import annotations

import numpy as np
import pytest

from oildrop.workloads.image_classify.reference import ModelConfig, gate_weights, image_losses
from oildrop.workloads.image_classify.reference_gradient import mean_loss_gradient

Weights = dict[str, np.ndarray]

CONFIG = ModelConfig(width=8, norm_groups=4, norm_epsilon=1e-3)


@pytest.fixture(scope="module")
def weights() -> Weights:
    return {name: tensor.astype(np.float64) for name, tensor in gate_weights(CONFIG, 2, 0.3).items()}


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(3).uniform(-1, 1, (6, 8, 8))


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return np.array([3, 0, 9, 3, 5, 1], dtype=np.int32)


def difference_quotient(weights: Weights, images: np.ndarray, labels: np.ndarray, direction: Weights) -> float:
    """Slope of the mean loss along `direction`: two central differences, their h^2 term cancelled."""

    def loss(step: float) -> float:
        moved = {name: tensor + step * direction.get(name, 0.0) for name, tensor in weights.items()}
        return float(image_losses(CONFIG, moved, images, labels).mean())

    def central(h: float) -> float:
        return (loss(h) - loss(-h)) / (2 * h)

    return (4 * central(5e-4) - central(1e-3)) / 3


@pytest.mark.parametrize("name", CONFIG.tensor_shapes())
def test_entries_are_the_slopes_of_the_mean_loss(
    name: str, weights: Weights, images: np.ndarray, labels: np.ndarray
) -> None:
    _, gradient = mean_loss_gradient(CONFIG, weights, images, labels)
    rng = np.random.default_rng(len(name))
    places = rng.permutation(np.argwhere(gradient[name]))[:4]
    scale = np.abs(gradient[name]).max()
    for place in map(tuple, places):
        unit = np.zeros_like(weights[name])
        unit[place] = 1.0
        slope = difference_quotient(weights, images, labels, {name: unit})
        assert gradient[name][place] == pytest.approx(slope, rel=1e-6, abs=1e-6 * scale)


def test_the_slope_along_all_tensors_at_once(weights: Weights, images: np.ndarray, labels: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    direction = {name: rng.normal(size=tensor.shape) / 30 for name, tensor in weights.items()}
    _, gradient = mean_loss_gradient(CONFIG, weights, images, labels)
    expected = difference_quotient(weights, images, labels, direction)
    assert sum(float(np.vdot(gradient[n], direction[n])) for n in weights) == pytest.approx(expected, rel=1e-6)


def test_every_tensor_equals_automatic_differentiation(
    weights: Weights, images: np.ndarray, labels: np.ndarray
) -> None:
    torch = pytest.importorskip("torch")
    from oildrop.workloads.image_classify import model_torch

    model = model_torch.Network(CONFIG).double()
    model.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in weights.items()})
    expected = model.losses(torch.from_numpy(images), torch.from_numpy(labels)).mean()
    expected.backward()
    loss, gradient = mean_loss_gradient(CONFIG, weights, images, labels)
    assert loss == pytest.approx(expected.item(), rel=1e-13)
    for name, parameter in model.named_parameters():
        found = parameter.grad.numpy()
        assert np.abs(gradient[name] - found).max() < 1e-12 * np.abs(found).max(), name


def test_the_loss_is_the_mean_of_the_image_losses_and_names_keep_their_order(
    images: np.ndarray, labels: np.ndarray
) -> None:
    weights = gate_weights(CONFIG, 2, 0.3)
    loss, gradient = mean_loss_gradient(CONFIG, weights, images.astype(np.float32), labels)
    expected = image_losses(CONFIG, weights, images.astype(np.float32), labels).mean()
    assert loss == pytest.approx(expected, rel=1e-15)
    assert [(name, tensor.shape) for name, tensor in gradient.items()] == list(CONFIG.tensor_shapes().items())
    assert {tensor.dtype for tensor in gradient.values()} == {np.dtype(np.float64)}


def test_with_a_silent_head_its_bias_gradient_counts_labels(
    weights: Weights, images: np.ndarray, labels: np.ndarray
) -> None:
    """Every class then has probability 1/10: the gradient of its bias is 1/10 less its share of the labels."""
    silent = weights | {"head.weight": np.zeros((10, 32)), "head.bias": np.zeros(10)}
    loss, gradient = mean_loss_gradient(CONFIG, silent, images, labels)
    shares = np.array([1, 1, 0, 2, 0, 1, 0, 0, 0, 1]) / 6
    assert loss == pytest.approx(np.log(10.0), rel=1e-15)
    np.testing.assert_allclose(gradient["head.bias"], 0.1 - shares, rtol=1e-14)
    assert not any(gradient[name].any() for name in weights if name.startswith("layers"))


def test_the_mean_over_images_is_the_mean_of_their_gradients(
    weights: Weights, images: np.ndarray, labels: np.ndarray
) -> None:
    _, together = mean_loss_gradient(CONFIG, weights, images, labels)
    alone = [mean_loss_gradient(CONFIG, weights, images[i : i + 1], labels[i : i + 1])[1] for i in range(6)]
    for name, gradient in together.items():
        np.testing.assert_allclose(gradient, sum(found[name] for found in alone) / 6, rtol=1e-9, atol=1e-13)
