"""The PyTorch model against the float64 reference."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from oildrop.workloads.gates import relative_rms
from oildrop.workloads.lm_pretrain import model_torch
from oildrop.workloads.lm_pretrain.grammar import Grammar
from oildrop.workloads.lm_pretrain.model_torch import Decoder
from oildrop.workloads.lm_pretrain.reference import ModelShape, gate_weights, token_losses
from oildrop.workloads.lm_pretrain.source import Source

Weights = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def tokens(grammar: Grammar) -> NDArray[np.int32]:
    return Source(grammar).documents(77, 0, 4, part="gate")[0]


@pytest.fixture(scope="module")
def weights(shape: ModelShape) -> Weights:
    return gate_weights(shape, 77, 0.06)


def loaded(shape: ModelShape, weights: Weights) -> Decoder:
    model = Decoder(shape)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return model


def test_the_tensors_are_the_references_by_name_and_shape(shape: ModelShape) -> None:
    model = Decoder(shape)
    assert {name: tuple(weight.shape) for name, weight in model.named_parameters()} == shape.tensors()
    assert list(model.tensors()) == list(shape.tensors())


def test_float64_model_and_reference_agree_to_rounding(shape: ModelShape, weights: Weights, tokens: Any) -> None:
    """Rotary tables are fp32 in the model, which is all that is left between the two."""
    model = loaded(shape, weights).double()
    angles = torch.from_numpy(model_torch.rotary_angles(shape))
    model.cos_TD, model.sin_TD = angles.cos(), angles.sin()
    found = model.losses(torch.from_numpy(tokens)).detach().numpy()
    assert relative_rms(found, token_losses(weights, tokens, shape)) < 1e-13


def test_fp32_model_and_reference_agree_to_fp32(shape: ModelShape, weights: Weights, tokens: Any) -> None:
    found = loaded(shape, weights).losses(torch.from_numpy(tokens)).detach().numpy()
    assert found.dtype == np.float32
    assert 0 < relative_rms(found, token_losses(weights, tokens, shape)) < 1e-6


def test_score_gives_the_losses_and_who_was_right(shape: ModelShape, weights: Weights, tokens: Any) -> None:
    model, batch = loaded(shape, weights), torch.from_numpy(tokens)
    losses, right = model.score(batch)
    assert torch.equal(losses, model.losses(batch))
    likeliest = model(batch[:, :-1]).argmax(dim=-1)
    assert np.array_equal(right.numpy(), likeliest.numpy() == tokens[:, 1:])
    assert 0 <= int(right.sum()) < right.numel()
