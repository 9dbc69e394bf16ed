"""The PyTorch model against the float64 reference: equal when right, caught when wrong."""

import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from oildrop.workloads.lm_pretrain import model_torch
from oildrop.workloads.lm_pretrain.gates import Gate, Weights, gate_weights, relative_rms
from oildrop.workloads.lm_pretrain.grammar import Grammar
from oildrop.workloads.lm_pretrain.model_torch import Decoder
from oildrop.workloads.lm_pretrain.reference import ModelShape, token_losses
from oildrop.workloads.lm_pretrain.source import Source

FP32_LIMIT = 1e-5


@pytest.fixture(scope="module")
def gate(grammar: Grammar, shape: ModelShape) -> Gate:
    tokens, _ = Source(grammar).documents(77, 0, 4, part="gate")
    return Gate(shape=shape, seed=77, weights_std=0.06, tokens_NS=tokens)


def losses_of(shape: ModelShape, dtype: torch.dtype = torch.float32) -> Callable[..., NDArray[np.floating]]:
    """The PyTorch model as the gate asks for it."""

    def losses(weights: Weights, tokens_NS: NDArray[np.int32]) -> NDArray[np.floating]:
        model = Decoder(shape).to(dtype)
        model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        return model.losses(torch.from_numpy(tokens_NS).long()).detach().numpy()

    return losses


def test_the_tensors_are_the_references_in_name_shape_and_order(shape: ModelShape) -> None:
    found = {name: tuple(weight.shape) for name, weight in Decoder(shape).named_parameters()}
    assert found == shape.tensors()


def test_float64_model_and_reference_agree_to_rounding(gate: Gate, shape: ModelShape) -> None:
    """Rotary tables are fp32 in the model, which is all that is left between the two."""
    model = Decoder(shape).double()
    angles = torch.from_numpy(model_torch.rotary_angles(shape))
    model.cos_TD, model.sin_TD = angles.cos(), angles.sin()
    weights = gate_weights(shape, gate.seed, gate.weights_std)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    found = model.losses(torch.from_numpy(gate.tokens_NS).long()).detach().numpy()
    assert relative_rms(found, token_losses(weights, gate.tokens_NS, shape)) < 1e-13


def test_the_clean_model_passes(gate: Gate, shape: ModelShape) -> None:
    result = gate.compare(losses_of(shape), name="token_loss_train", dtype="fp32", limit=FP32_LIMIT)
    assert result.passed and 0 < float(result.value) < 1e-6


def _no_rotation(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(model_torch, "rotate", lambda x, cos, sin: x)


def _wrong_epsilon(patch: pytest.MonkeyPatch) -> None:
    right = model_torch.rms_norm
    patch.setattr(model_torch, "rms_norm", lambda x, scale, epsilon: right(x, scale, epsilon / 10))


def _gelu(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(F, "silu", F.gelu)


def _dropped_layer(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Decoder, "forward", lambda self, tokens: _forward(self, tokens, list(self.layers)[:-1]))


def _swapped_layers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Decoder, "forward", lambda self, tokens: _forward(self, tokens, list(self.layers)[::-1]))


def _mask(diagonal: int) -> Callable[[pytest.MonkeyPatch], None]:
    right = F.scaled_dot_product_attention

    def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, is_causal: bool) -> torch.Tensor:
        seen = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool).tril(diagonal)
        seen[0, 0] = True
        return right(q, k, v, attn_mask=seen)

    return lambda patch: patch.setattr(F, "scaled_dot_product_attention", attention)


def _unscaled(patch: pytest.MonkeyPatch) -> None:
    attention = functools.partial(F.scaled_dot_product_attention, scale=1.0)
    patch.setattr(F, "scaled_dot_product_attention", attention)


def _forward(self: Decoder, tokens: torch.Tensor, layers: list[torch.nn.Module]) -> torch.Tensor:
    x = F.embedding(tokens, self.embedding_VW)
    for layer in layers:
        x = layer(x, self.cos_TD, self.sin_TD)
    return F.linear(model_torch.rms_norm(x, self.norm_W, self.shape.norm_epsilon), self.head_VW)


MUTANTS = {
    "no rotary positions": _no_rotation,
    "epsilon a tenth": _wrong_epsilon,
    "GELU for SiLU": _gelu,
    "last layer dropped": _dropped_layer,
    "layers in the wrong order": _swapped_layers,
    "mask sees the next token": _mask(1),
    "mask hides the own token": _mask(-1),
    "scores not scaled": _unscaled,
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_is_caught(mutant: str, gate: Gate, shape: ModelShape, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTANTS[mutant](monkeypatch)
    result = gate.compare(losses_of(shape), name="token_loss_train", dtype="fp32", limit=FP32_LIMIT)
    assert not result.passed and float(result.value) > 3 * FP32_LIMIT


@pytest.mark.parametrize(("bad", "shown"), [(np.nan, "nan"), (np.inf, "inf")])
def test_losses_that_are_not_finite_fail_and_say_so(gate: Gate, bad: float, shown: str) -> None:
    result = gate.compare(lambda weights, tokens: np.full((4, 48), bad), name="x", dtype="fp32", limit=FP32_LIMIT)
    assert not result.passed and result.value == shown


def test_relative_rms_by_hand() -> None:
    assert relative_rms(np.array([3.0, 4.0]), np.array([3.0, 5.0])) == pytest.approx((1 / 34) ** 0.5, rel=1e-15)
