"""The gradient by hand against differences of losses, automatic differentiation, and what needs neither."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from oildrop.workloads.lm_pretrain.reference import ModelShape, gate_weights, token_losses
from oildrop.workloads.lm_pretrain.reference_gradient import mean_loss_gradient

Weights = dict[str, np.ndarray]

GROUPED = ModelShape(
    vocabulary=19,
    positions=9,
    layers=2,
    width=16,
    heads=4,
    key_value_heads=2,
    hidden=12,
    norm_epsilon=1e-3,
    rotary_base=100.0,
)


def weights_of(shape: ModelShape) -> Weights:
    """Large enough that attention is far from even and SiLU far from a line."""
    return {name: tensor.astype(np.float64) for name, tensor in gate_weights(shape, 4, 0.4).items()}


def tokens_of(shape: ModelShape, documents: int = 3) -> np.ndarray:
    """Never the last two of the vocabulary."""
    rng = np.random.default_rng(6)
    return rng.integers(0, shape.vocabulary - 2, (documents, shape.positions + 1)).astype(np.int32)


def difference_quotient(weights: Weights, tokens: np.ndarray, shape: ModelShape, direction: Weights) -> float:
    """Slope of the mean loss along `direction`: two central differences, their h^2 term cancelled."""

    def loss(step: float) -> float:
        moved = {name: tensor + step * direction.get(name, 0.0) for name, tensor in weights.items()}
        return float(token_losses(moved, tokens, shape).mean())

    def central(h: float) -> float:
        return (loss(h) - loss(-h)) / (2 * h)

    return (4 * central(1e-3) - central(2e-3)) / 3


@pytest.mark.parametrize("name", GROUPED.tensors())
def test_entries_are_the_slopes_of_the_mean_loss(name: str) -> None:
    weights, tokens = weights_of(GROUPED), tokens_of(GROUPED)
    _, gradient = mean_loss_gradient(weights, tokens, GROUPED)
    rng = np.random.default_rng(len(name))
    used = np.argwhere(gradient[name])
    for place in map(tuple, rng.permutation(used)[:4]):
        unit = np.zeros_like(weights[name])
        unit[place] = 1.0
        slope = difference_quotient(weights, tokens, GROUPED, {name: unit})
        scale = np.abs(gradient[name]).max()
        assert gradient[name][place] == pytest.approx(slope, rel=1e-6, abs=1e-6 * scale)


def test_the_slope_along_all_tensors_at_once() -> None:
    weights, tokens = weights_of(GROUPED), tokens_of(GROUPED)
    rng = np.random.default_rng(1)
    direction = {name: rng.normal(size=tensor.shape) / 30 for name, tensor in weights.items()}
    _, gradient = mean_loss_gradient(weights, tokens, GROUPED)
    expected = difference_quotient(weights, tokens, GROUPED, direction)
    assert sum(float(np.vdot(gradient[n], direction[n])) for n in weights) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("key_value_heads", [1, 2, 4])
def test_every_tensor_equals_automatic_differentiation(key_value_heads: int) -> None:
    torch = pytest.importorskip("torch")
    from oildrop.workloads.lm_pretrain import model_torch

    shape = replace(GROUPED, key_value_heads=key_value_heads)
    weights, tokens = weights_of(shape), tokens_of(shape)
    model = model_torch.Decoder(shape)
    angles = torch.from_numpy(model_torch.rotary_angles(shape))
    model.double().load_state_dict({name: torch.from_numpy(tensor) for name, tensor in weights.items()})
    model.cos_TD, model.sin_TD = angles.cos(), angles.sin()
    expected = model.losses(torch.from_numpy(tokens)).mean()
    expected.backward()
    loss, gradient = mean_loss_gradient(weights, tokens, shape)
    assert loss == pytest.approx(expected.item(), rel=1e-13)
    for name, parameter in model.named_parameters():
        found = parameter.grad.numpy()
        assert np.abs(gradient[name] - found).max() < 1e-12 * np.abs(found).max(), name


def test_the_loss_is_the_mean_of_the_token_losses_and_names_keep_their_order() -> None:
    weights, tokens = gate_weights(GROUPED, 4, 0.4), tokens_of(GROUPED)
    loss, gradient = mean_loss_gradient(weights, tokens, GROUPED)
    assert loss == pytest.approx(token_losses(weights, tokens, GROUPED).mean(), rel=1e-15)
    assert {name: tensor.shape for name, tensor in gradient.items()} == GROUPED.tensors()
    assert list(gradient) == list(GROUPED.tensors())
    assert {tensor.dtype for tensor in gradient.values()} == {np.dtype(np.float64)}


def test_a_token_that_is_never_read_has_no_embedding_gradient() -> None:
    weights, tokens = weights_of(GROUPED), tokens_of(GROUPED)
    _, gradient = mean_loss_gradient(weights, tokens, GROUPED)
    read = np.isin(np.arange(GROUPED.vocabulary), tokens[:, :-1])
    assert 0 < read.sum() < GROUPED.vocabulary
    assert np.array_equal(gradient["embedding_VW"].any(axis=1), read)


def test_with_a_head_of_zeros_the_head_gradient_is_counts_of_targets() -> None:
    """Then q is 1 / V everywhere: row v is the mean over places of (1 / V - [target = v]) times the normalised x."""
    weights, tokens = weights_of(GROUPED), tokens_of(GROUPED)
    weights["head_VW"] = np.zeros_like(weights["head_VW"])
    _, gradient = mean_loss_gradient(weights, tokens, GROUPED)
    mean_W = gradient["head_VW"][-1] * GROUPED.vocabulary
    assert np.abs(gradient["head_VW"].sum(axis=0)).max() < 1e-15
    np.testing.assert_allclose(gradient["head_VW"][-2] * GROUPED.vocabulary, mean_W, rtol=1e-12)
    assert not any(gradient[name].any() for name in weights if name != "head_VW")


def test_the_mean_over_documents_is_the_mean_of_their_gradients() -> None:
    weights, tokens = weights_of(GROUPED), tokens_of(GROUPED)
    _, together = mean_loss_gradient(weights, tokens, GROUPED)
    alone = [mean_loss_gradient(weights, tokens[i : i + 1], GROUPED)[1] for i in range(3)]
    for name, gradient in together.items():
        mean = sum(found[name] for found in alone) / 3
        np.testing.assert_allclose(gradient, mean, rtol=1e-9, atol=1e-13)
