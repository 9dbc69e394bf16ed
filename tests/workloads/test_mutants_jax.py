"""Mutants of the JAX implementation: the faults of `test_mutants_torch.py`, and a gate must say so here too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax  # type: ignore[import-untyped]
import pytest
from jax import Array

from oildrop.workloads import engine_jax
from oildrop.workloads.gates import run_gates
from oildrop.workloads.image_classify import model_jax as image_model
from oildrop.workloads.lm_pretrain import model_jax as lm_model
from oildrop.workloads.registry import make_train_task

# Other platforms' parts may be installed; asking for them takes time and prints.
jax.config.update("jax_platforms", "cpu")

Patch = pytest.MonkeyPatch
Mutate = Callable[[Patch], None]


@pytest.fixture(autouse=True)
def quick_to_compile() -> Iterator[None]:
    """Every mutant is compiled anew and run once; what XLA optimises does not change what it computes."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def failed_gates(task_name: str, settings: dict[str, Any]) -> Iterator[str]:
    """One by one, so that a test compiles only the graphs up to the first gate that fails."""
    device: Any = SimpleNamespace(backend="jax-cpu", handle=jax.devices("cpu")[0])
    task: Any = make_train_task(task_name, settings, device)
    task.load_data()
    task._engine.build()
    for dtype in dict.fromkeys(("fp32", settings["execution.dtype"])):
        for result in run_gates(task._engine, task._lesson.gate_case(), settings, dtype):
            if not result.passed:
                yield f"{result.name} {dtype}"


def with_changed(module: ModuleType, **changed: Any) -> SimpleNamespace:
    """A stand-in for `module` in one file; the reference goes on with the right one."""
    return SimpleNamespace(**{**vars(module), **changed})


def no_rotation(patch: Patch) -> None:
    patch.setattr(lm_model, "rotate", lambda x, shape: x)


def rotation_backwards(patch: Patch) -> None:
    patch.setattr(lm_model, "np", with_changed(np, sin=lambda angle: -np.sin(angle)))


def tenth_of_norm_epsilon(patch: Patch) -> None:
    right = lm_model.rms_norm
    patch.setattr(lm_model, "rms_norm", lambda x, scale, epsilon: right(x, scale, epsilon / 10))


def gelu_for_silu(patch: Patch) -> None:
    patch.setattr(jax.nn, "silu", jax.nn.gelu)


def last_layer_dropped(patch: Patch) -> None:
    right = lm_model.Decoder.logits

    def logits(self: Any, *given: Any, dtype: str) -> Array:
        fewer = replace(self, shape=replace(self.shape, layers=self.shape.layers - 1))
        return right(fewer, *given, dtype=dtype)

    patch.setattr(lm_model.Decoder, "logits", logits)


def layers_backwards(patch: Patch) -> None:
    right = lm_model.Decoder.logits

    def logits(self: Any, weights: Any, tokens: Array, *, dtype: str) -> Array:
        last = self.shape.layers - 1
        moved = {
            f"layers.{last - i}.{name}": weights[f"layers.{i}.{name}"]
            for i in range(last + 1)
            for name in lm_model.LAYER
        }
        return right(self, {**weights, **moved}, tokens, dtype=dtype)

    patch.setattr(lm_model.Decoder, "logits", logits)


def mask_moved(diagonal: int) -> Mutate:
    def tril(ones: Any) -> Any:
        seen = np.tril(ones, diagonal)
        seen[0, 0] = True
        return seen

    return lambda patch: patch.setattr(lm_model, "np", with_changed(np, tril=tril))


def scores_not_scaled(patch: Patch) -> None:
    patch.setattr(lm_model, "np", with_changed(np, sqrt=lambda width: 1.0))


def gate_and_up_swapped(patch: Patch) -> None:
    def feed_forward(x: Array, layer: Any, dtype: str) -> Array:
        up, gate = jnp.split(lm_model.linear(x, layer["gate_up_OI"], dtype), 2, axis=-1)
        return lm_model.linear(jax.nn.silu(gate) * up, layer["down_OI"], dtype)

    patch.setattr(lm_model, "feed_forward", feed_forward)


def targets_not_shifted(patch: Patch) -> None:
    right = lm_model.token_losses
    patch.setattr(lm_model, "token_losses", lambda logits, target: right(logits, jnp.roll(target, 1, axis=1)))


def attention_without_gradient(patch: Patch) -> None:
    right = lm_model.attention
    patch.setattr(lm_model, "attention", lambda *given: jax.lax.stop_gradient(right(*given)))


def optimizer_with(**changed: Any) -> Mutate:
    right = optax.scale_by_adam
    return lambda patch: patch.setattr(optax, "scale_by_adam", lambda **given: right(**{**given, **changed}))


def adam_without_bias_correction(patch: Patch) -> None:
    """Starting at a late step leaves both corrections at one."""
    right = engine_jax.JaxEngine.set_weights

    def set_weights(self: Any, weights: Any) -> None:
        right(self, weights)
        late = jnp.full_like(self._state.moments.count, 10**6)
        self._state = self._state._replace(moments=self._state.moments._replace(count=late))

    patch.setattr(engine_jax.JaxEngine, "set_weights", set_weights)


def rate_times(factor: float) -> Mutate:
    right = engine_jax.JaxEngine.step

    def step(self: Any, inputs: Any, rate: float, dtype: str) -> Array:
        return right(self, inputs, rate * factor, dtype)

    return lambda patch: patch.setattr(engine_jax.JaxEngine, "step", step)


def average_share_times(factor: float) -> Mutate:
    right = engine_jax.adamw_of

    def adamw_of(settings: Any) -> Any:
        adamw = right(settings)
        return replace(adamw, average_decay=1 - factor * (1 - adamw.average_decay))

    return lambda patch: patch.setattr(engine_jax, "adamw_of", adamw_of)


def no_decay(patch: Patch) -> None:
    right = engine_jax.adamw_of
    patch.setattr(engine_jax, "adamw_of", lambda settings: replace(right(settings), weight_decay=0.0))


def decay_on_everything(patch: Patch) -> None:
    """Decay beside the optimizer, whose own is switched off."""
    right = engine_jax.train_step

    def train_step(model: Any, adamw: Any, dtype: str) -> Any:
        plain = right(model, replace(adamw, weight_decay=0.0), dtype)

        def step(state: Any, inputs: Any, rate: Array) -> Any:
            moved, loss = plain(state, inputs, rate)
            shrink = rate * adamw.weight_decay
            weights = jax.tree.map(lambda new, old: new - shrink * old, moved.weights, state.weights)
            share = 1.0 - adamw.average_decay
            average = jax.tree.map(lambda mean, new: mean + share * (new - mean), state.average, weights)
            return moved._replace(weights=weights, average=average), loss

        return step

    patch.setattr(engine_jax, "train_step", train_step)


def loss_summed(patch: Patch) -> None:
    right = engine_jax.loss_gradient

    def loss_gradient(model: Any, dtype: str) -> Any:
        averaged = right(model, dtype)

        def gradient(weights: Any, inputs: Any) -> Any:
            losses, found = averaged(weights, inputs)
            return losses, jax.tree.map(lambda tensor: tensor * losses.size, found)

        return gradient

    patch.setattr(engine_jax, "loss_gradient", loss_gradient)


def half_the_groups(patch: Patch) -> None:
    right = image_model.group_norm

    def group_norm(x: Array, gain: Array, bias: Array, config: Any) -> Array:
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

    def logits(self: Any, weights: Any, images: Array, *, dtype: str) -> Array:
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
    "no bias correction": adam_without_bias_correction,
    "Adam's epsilon 1e-6": optimizer_with(eps=1e-6),
    "beta1 0.8": optimizer_with(b1=0.8),
    "beta2 0.999": optimizer_with(b2=0.999),
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
