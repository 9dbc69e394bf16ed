"""Mutants of the PyTorch implementation: each computes something slightly else, and a gate must say so."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from oildrop.workloads import engine_torch
from oildrop.workloads.image_classify import model_torch as image_model
from oildrop.workloads.lm_pretrain import model_torch as lm_model
from oildrop.workloads.registry import make_train_task

Patch = pytest.MonkeyPatch
Mutate = Callable[[Patch], None]


def failed_gates(task_name: str, settings: dict[str, Any]) -> list[str]:
    device: Any = SimpleNamespace(backend="torch-cpu", handle=torch.device("cpu"))
    task = make_train_task(task_name, settings, device)
    task.load_data()
    task.build()
    return [f"{result.name} {result.dtype}" for result in task.run_gates() if not result.passed]


def no_rotation(patch: Patch) -> None:
    patch.setattr(lm_model, "rotate", lambda x, cos, sin: x)


def rotation_backwards(patch: Patch) -> None:
    right = lm_model.rotate
    patch.setattr(lm_model, "rotate", lambda x, cos, sin: right(x, cos, -sin))


def tenth_of_norm_epsilon(patch: Patch) -> None:
    right = lm_model.rms_norm
    patch.setattr(lm_model, "rms_norm", lambda x, scale, epsilon: right(x, scale, epsilon / 10))


def gelu_for_silu(patch: Patch) -> None:
    patch.setattr(F, "silu", F.gelu)


def layers_changed(order: slice) -> Mutate:
    def forward(self: Any, tokens: Tensor) -> Tensor:
        x = F.embedding(tokens, self.embedding_VW)
        for layer in list(self.layers)[order]:
            x = layer(x, self.cos_TD, self.sin_TD)
        return F.linear(lm_model.rms_norm(x, self.norm_W, self.shape.norm_epsilon), self.head_VW)

    return lambda patch: patch.setattr(lm_model.Decoder, "forward", forward)


def mask_moved(diagonal: int) -> Mutate:
    right = F.scaled_dot_product_attention

    def attention(q: Tensor, k: Tensor, v: Tensor, is_causal: bool, enable_gqa: bool) -> Tensor:
        seen = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool).tril(diagonal)
        seen[0, 0] = True
        return right(q, k, v, attn_mask=seen, enable_gqa=enable_gqa)

    return lambda patch: patch.setattr(F, "scaled_dot_product_attention", attention)


def scores_not_scaled(patch: Patch) -> None:
    right = F.scaled_dot_product_attention
    patch.setattr(F, "scaled_dot_product_attention", lambda q, k, v, **rest: right(q, k, v, scale=1.0, **rest))


def gate_and_up_swapped(patch: Patch) -> None:
    def feed_forward(self: Any, x: Tensor) -> Tensor:
        up, gate = F.linear(x, self.gate_up_OI).chunk(2, dim=-1)
        return F.linear(F.silu(gate) * up, self.down_OI)

    patch.setattr(lm_model.Layer, "feed_forward", feed_forward)


def targets_not_shifted(patch: Patch) -> None:
    right = lm_model.token_losses
    patch.setattr(lm_model, "token_losses", lambda logits, target: right(logits, target.roll(1, dims=1)))


def attention_without_gradient(patch: Patch) -> None:
    right = lm_model.Layer.attention
    patch.setattr(lm_model.Layer, "attention", lambda self, x, cos, sin: right(self, x, cos, sin).detach())


def optimizer_with(**changed: Any) -> Mutate:
    right = torch.optim.AdamW

    def optimizer(groups: Any, **given: Any) -> torch.optim.Optimizer:
        return right(groups, **{**given, **changed})

    return lambda patch: patch.setattr(torch.optim, "AdamW", optimizer)


def adam_without_bias_correction(patch: Patch) -> None:
    """Starting at a late step leaves both corrections at one."""
    right = engine_torch.TorchEngine._new_optimizer

    def late(self: Any) -> torch.optim.AdamW:
        optimizer = right(self)
        for parameter in self._parameters.values():
            zeros = torch.zeros_like(parameter)
            optimizer.state[parameter] = {
                "step": torch.tensor(1e6), "exp_avg": zeros, "exp_avg_sq": zeros.clone(),
            }  # fmt: skip
        return optimizer

    patch.setattr(engine_torch.TorchEngine, "_new_optimizer", late)


def rate_times(factor: float) -> Mutate:
    right = engine_torch.TorchEngine.step

    def step(self: Any, inputs: Any, rate: float, dtype: str) -> Tensor:
        return right(self, inputs, rate * factor, dtype)

    return lambda patch: patch.setattr(engine_torch.TorchEngine, "step", step)


def average_share_times(factor: float) -> Mutate:
    right = torch._foreach_lerp_
    return lambda patch: patch.setattr(torch, "_foreach_lerp_", lambda a, b, share: right(a, b, share * factor))


def decay_on_everything(patch: Patch) -> None:
    right = torch.optim.AdamW

    def optimizer(groups: Any, **given: Any) -> torch.optim.Optimizer:
        return right([{**group, "weight_decay": groups[0]["weight_decay"]} for group in groups], **given)

    patch.setattr(torch.optim, "AdamW", optimizer)


def no_decay(patch: Patch) -> None:
    right = torch.optim.AdamW

    def optimizer(groups: Any, **given: Any) -> torch.optim.Optimizer:
        return right([{**group, "weight_decay": 0.0} for group in groups], **given)

    patch.setattr(torch.optim, "AdamW", optimizer)


def loss_summed(patch: Patch) -> None:
    def summed(self: Any, inputs: Any, dtype: str) -> Tensor:
        with self._autocast(dtype):
            return self._losses(*inputs).sum()

    patch.setattr(engine_torch.TorchEngine, "_mean_loss", summed)


def one_group_fewer(patch: Patch) -> None:
    right = F.group_norm
    patch.setattr(F, "group_norm", lambda x, groups, gain, bias, eps: right(x, groups // 2, gain, bias, eps))


def norm_without_bias(patch: Patch) -> None:
    right = F.group_norm
    patch.setattr(F, "group_norm", lambda x, groups, gain, bias, eps: right(x, groups, gain, None, eps))


def strides_swapped(patch: Patch) -> None:
    patch.setattr(image_model, "STRIDES", (2, 1, 1, 2))


def labels_off_by_one(patch: Patch) -> None:
    right = image_model.image_losses
    patch.setattr(image_model, "image_losses", lambda logits, labels: right(logits, (labels + 1) % 10))


def first_pixel_off(patch: Patch) -> None:
    right = image_model.Network.forward

    def forward(self: Any, images: Tensor) -> Tensor:
        images = images.clone()
        images[0, 0, 0] += 0.125
        return right(self, images)

    patch.setattr(image_model.Network, "forward", forward)


LM: dict[str, Mutate] = {
    "no rotary positions": no_rotation,
    "rotation the other way": rotation_backwards,
    "RMSNorm's epsilon a tenth": tenth_of_norm_epsilon,
    "GELU for SiLU": gelu_for_silu,
    "last layer dropped": layers_changed(slice(None, -1)),
    "layers in the wrong order": layers_changed(slice(None, None, -1)),
    "mask sees the next token": mask_moved(1),
    "mask hides the own token": mask_moved(-1),
    "scores not scaled": scores_not_scaled,
    "gate and up swapped": gate_and_up_swapped,
    "targets not shifted": targets_not_shifted,
    "no gradient through attention": attention_without_gradient,
    "learning rate 2 % high": rate_times(1.02),
    "no bias correction": adam_without_bias_correction,
    "Adam's epsilon 1e-6": optimizer_with(eps=1e-6),
    "beta1 0.8": optimizer_with(betas=(0.8, 0.98)),
    "beta2 0.999": optimizer_with(betas=(0.9, 0.999)),
    "average never moves": average_share_times(0.0),
    "average moves 5 % too fast": average_share_times(1.05),
    "loss summed, not averaged": loss_summed,
}
IMAGE: dict[str, Mutate] = {
    "GELU for SiLU": gelu_for_silu,
    "half the groups": one_group_fewer,
    "norm without bias": norm_without_bias,
    "strides in the wrong order": strides_swapped,
    "labels off by one": labels_off_by_one,
    "one pixel of one image off": first_pixel_off,
    "decay on norms and biases": decay_on_everything,
    "no decay": no_decay,
    "Adam's epsilon 1e-6": optimizer_with(eps=1e-6),
}


@pytest.mark.parametrize("name", LM)
def test_a_mutant_of_the_decoder_is_caught(name: str, tiny_settings: dict[str, Any], monkeypatch: Patch) -> None:
    LM[name](monkeypatch)
    assert failed_gates("lm_pretrain", tiny_settings)


@pytest.mark.parametrize("name", IMAGE)
def test_a_mutant_of_the_network_is_caught(name: str, small_settings: dict[str, Any], monkeypatch: Patch) -> None:
    IMAGE[name](monkeypatch)
    assert failed_gates("image_classify", small_settings)


@pytest.mark.parametrize("seed", range(10))
def test_no_false_alarm(seed: int, tiny_settings: dict[str, Any], small_settings: dict[str, Any]) -> None:
    """Ten of the two hundred clean runs that the limits were calibrated with (docs/decisions)."""
    changed = {"gates.seed": seed, "execution.dtype": "bf16"}
    assert failed_gates("lm_pretrain", tiny_settings | changed) == []
    assert failed_gates("image_classify", small_settings | changed) == []
