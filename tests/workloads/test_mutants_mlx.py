"""Mutants of the MLX implementation: the faults of `test_mutants_torch.py`, and a gate must say so here too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import pytest
from mlx import nn, optimizers

from oildrop.workloads import engine_mlx
from oildrop.workloads.gates import run_gates
from oildrop.workloads.image_classify import model_mlx as image_model
from oildrop.workloads.lm_pretrain import model_mlx as lm_model
from oildrop.workloads.registry import make_train_task

Patch = pytest.MonkeyPatch
Mutate = Callable[[Patch], None]


def failed_gates(task_name: str, settings: dict[str, Any]) -> Iterator[str]:
    """One by one, so that a test computes only up to the first gate that fails."""
    device: Any = SimpleNamespace(backend="mlx-cpu", handle=mx.Device(mx.cpu, 0))
    task: Any = make_train_task(task_name, settings, device)
    task.load_data()
    task._engine.build()
    for dtype in dict.fromkeys(("fp32", settings["execution.dtype"])):
        for result in run_gates(task._engine, task._lesson.gate_case(), settings, dtype):
            if not result.passed:
                yield f"{result.name} {dtype}"


def no_rotation(patch: Patch) -> None:
    patch.setattr(lm_model, "rotate", lambda x, cos, sin: x)


def rotation_backwards(patch: Patch) -> None:
    right = lm_model.rotate
    patch.setattr(lm_model, "rotate", lambda x, cos, sin: right(x, cos, -sin))


def tenth_of_norm_epsilon(patch: Patch) -> None:
    right = mx.fast.rms_norm
    patch.setattr(mx.fast, "rms_norm", lambda x, scale, epsilon: right(x, scale, epsilon / 10))


def gelu_for_silu(patch: Patch) -> None:
    for model in (lm_model, image_model):
        patch.setattr(model, "silu", nn.gelu)


def last_layer_dropped(patch: Patch) -> None:
    right = lm_model.Decoder.logits

    def logits(self: Any, *given: Any, dtype: str) -> mx.array:
        fewer = replace(self, shape=replace(self.shape, layers=self.shape.layers - 1))
        return right(fewer, *given, dtype=dtype)

    patch.setattr(lm_model.Decoder, "logits", logits)


def layers_backwards(patch: Patch) -> None:
    right = lm_model._of_layer

    def of_layer(weights: Any, i: int) -> Any:
        layers = {name.split(".")[1] for name in weights if name.startswith("layers.")}
        return right(weights, len(layers) - 1 - i)

    patch.setattr(lm_model, "_of_layer", of_layer)


def mask_moved(diagonal: int) -> Mutate:
    right = mx.fast.scaled_dot_product_attention

    def attention(q: mx.array, k: mx.array, v: mx.array, *, scale: float, mask: str) -> mx.array:
        seen = mx.tril(mx.ones((q.shape[2], q.shape[2])), diagonal)
        seen[0, 0] = 1
        return right(q, k, v, scale=scale, mask=seen.astype(mx.bool_))

    return lambda patch: patch.setattr(mx.fast, "scaled_dot_product_attention", attention)


def scores_not_scaled(patch: Patch) -> None:
    right = mx.fast.scaled_dot_product_attention

    def attention(q: mx.array, k: mx.array, v: mx.array, *, scale: float, mask: str) -> mx.array:
        return right(q, k, v, scale=1.0, mask=mask)

    patch.setattr(mx.fast, "scaled_dot_product_attention", attention)


def gate_and_up_swapped(patch: Patch) -> None:
    def feed_forward(self: Any, x: mx.array) -> mx.array:
        up, gate = mx.split(lm_model.linear(x, self.weights["gate_up_OI"], self.dtype), 2, axis=-1)
        return lm_model.linear(lm_model.silu(gate) * up, self.weights["down_OI"], self.dtype)

    patch.setattr(lm_model.Layer, "feed_forward", feed_forward)


def targets_not_shifted(patch: Patch) -> None:
    right = lm_model.token_losses
    patch.setattr(lm_model, "token_losses", lambda logits, target: right(logits, mx.roll(target, 1, axis=1)))


def attention_without_gradient(patch: Patch) -> None:
    right = lm_model.Layer.attention
    patch.setattr(lm_model.Layer, "attention", lambda *given: mx.stop_gradient(right(*given)))


def optimizer_with(**changed: Any) -> Mutate:
    right = optimizers.AdamW
    return lambda patch: patch.setattr(optimizers, "AdamW", lambda **given: right(**{**given, **changed}))


def rate_times(factor: float) -> Mutate:
    right = engine_mlx.MlxEngine.step

    def step(self: Any, inputs: Any, rate: float, dtype: str) -> mx.array:
        return right(self, inputs, rate * factor, dtype)

    return lambda patch: patch.setattr(engine_mlx.MlxEngine, "step", step)


def average_share_times(factor: float) -> Mutate:
    right = engine_mlx.adamw_of

    def adamw_of(settings: Any) -> Any:
        adamw = right(settings)
        return replace(adamw, average_decay=1 - factor * (1 - adamw.average_decay))

    return lambda patch: patch.setattr(engine_mlx, "adamw_of", adamw_of)


def no_decay(patch: Patch) -> None:
    right = engine_mlx._part
    patch.setattr(engine_mlx, "_part", lambda adamw, decay, weights: right(adamw, 0.0, weights))


def decay_on_everything(patch: Patch) -> None:
    right = engine_mlx._part
    patch.setattr(engine_mlx, "_part", lambda adamw, decay, weights: right(adamw, adamw.weight_decay, weights))


def loss_summed(patch: Patch) -> None:
    def summed(model: Any, dtype: str) -> Any:
        return lambda weights, *inputs: model.losses(weights, *inputs, dtype=dtype).sum()

    patch.setattr(engine_mlx, "_mean_loss", summed)


def half_the_groups(patch: Patch) -> None:
    right = image_model.group_norm

    def group_norm(x: mx.array, gain: mx.array, bias: mx.array, config: Any) -> mx.array:
        return right(x, gain, bias, replace(config, norm_groups=config.norm_groups // 2))

    patch.setattr(image_model, "group_norm", group_norm)


def norm_without_bias(patch: Patch) -> None:
    right = image_model.group_norm
    patch.setattr(image_model, "group_norm", lambda x, gain, bias, config: right(x, gain, 0.0 * bias, config))


def strides_swapped(patch: Patch) -> None:
    patch.setattr(image_model, "STRIDES", (2, 1, 1, 2))


def labels_off_by_one(patch: Patch) -> None:
    right = image_model.image_losses
    patch.setattr(image_model, "image_losses", lambda logits, labels: right(logits, (labels + 1) % 10))


def first_pixel_off(patch: Patch) -> None:
    right = image_model.Network.logits

    def logits(self: Any, weights: Any, images: mx.array, *, dtype: str) -> mx.array:
        return right(self, weights, images.at[0, 0, 0].add(0.125), dtype=dtype)

    patch.setattr(image_model.Network, "logits", logits)


LM: dict[str, Mutate] = {
    "no rotary positions": no_rotation,
    "rotation the other way": rotation_backwards,
    "RMSNorm's epsilon a tenth": tenth_of_norm_epsilon,
    "GELU for SiLU": gelu_for_silu,
    "last layer dropped": last_layer_dropped,
    "layers in the wrong order": layers_backwards,
    "mask sees the next token": mask_moved(1),
    "mask hides the own token": mask_moved(-1),
    "scores not scaled": scores_not_scaled,
    "gate and up swapped": gate_and_up_swapped,
    "targets not shifted": targets_not_shifted,
    "no gradient through attention": attention_without_gradient,
    "learning rate 2 % high": rate_times(1.02),
    "no bias correction": optimizer_with(bias_correction=False),
    "Adam's epsilon 1e-6": optimizer_with(eps=1e-6),
    "beta1 0.8": optimizer_with(betas=[0.8, 0.98]),
    "beta2 0.999": optimizer_with(betas=[0.9, 0.999]),
    "average never moves": average_share_times(0.0),
    "average moves 5 % too fast": average_share_times(1.05),
    "loss summed, not averaged": loss_summed,
}
IMAGE: dict[str, Mutate] = {
    "GELU for SiLU": gelu_for_silu,
    "half the groups": half_the_groups,
    "norm without bias": norm_without_bias,
    "strides in the wrong order": strides_swapped,
    "labels off by one": labels_off_by_one,
    "one pixel of one image off": first_pixel_off,
    "decay on norms and biases": decay_on_everything,
    "no decay": no_decay,
    "Adam's epsilon 1e-6": optimizer_with(eps=1e-6),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LM)
def test_a_mutant_of_the_decoder_is_caught(name: str, tiny_settings: dict[str, Any], monkeypatch: Patch) -> None:
    LM[name](monkeypatch)
    assert next(failed_gates("lm_pretrain", tiny_settings | {"execution.threads": 0}), None)


@pytest.mark.slow
@pytest.mark.parametrize("name", IMAGE)
def test_a_mutant_of_the_network_is_caught(name: str, small_settings: dict[str, Any], monkeypatch: Patch) -> None:
    IMAGE[name](monkeypatch)
    assert next(failed_gates("image_classify", small_settings | {"execution.threads": 0}), None)


@pytest.mark.slow
def test_no_false_alarm(tiny_settings: dict[str, Any], small_settings: dict[str, Any]) -> None:
    """One of the clean runs that the limits were calibrated with (docs/decisions/013)."""
    changed = {"gates.seed": 1000, "execution.dtype": "bf16", "execution.threads": 0}
    assert list(failed_gates("lm_pretrain", tiny_settings | changed)) == []
    assert list(failed_gates("image_classify", small_settings | changed)) == []
