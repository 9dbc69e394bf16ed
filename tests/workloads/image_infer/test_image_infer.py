"""The task against the float64 network in three frameworks, and mutants that its gates and its assessment catch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import one_pass_tasks
import pytest
from one_pass_tasks import answered, device

from oildrop.rules.errors import OildropError, Unsupported
from oildrop.workloads.forward import filled
from oildrop.workloads.image_classify import reference
from oildrop.workloads.image_infer.subject import ImageInfer
from oildrop.workloads.registry import make_serve_task
from oildrop.workloads.served_protocols import ServeTask

Patch = pytest.MonkeyPatch


def built(framework: str, settings: dict[str, Any]) -> ServeTask:
    return one_pass_tasks.built("image_infer", framework, settings)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("framework", ["torch", "jax", "mlx"])
def test_answers_and_losses_are_the_references(framework: str, dtype: str, infer_settings: dict[str, Any]) -> None:
    task = built(framework, infer_settings | {"execution.dtype": dtype})
    gates = task.run_gates()
    assert [(gate.name, gate.dtype, gate.passed) for gate in gates] == [
        ("logits", each, True) for each in dict.fromkeys(("fp32", dtype))
    ]
    task.initialise(4)
    task.warm_up()
    sent = answered(task, range(40))
    found = task.assess(sent)

    subject = ImageInfer(infer_settings)
    subject.load()
    subject.start(4)
    [images] = subject.inputs(range(40))
    labels = subject._requests.labels(range(40))
    config = reference.config_of(infer_settings)
    expected = reference.image_losses(config, reference.initial_weights(config, 4), images, labels)
    assert found.index.tolist() == list(range(40))
    assert found.loss_nats == pytest.approx(expected, rel=1e-5 if dtype == "fp32" else 2e-2)
    assert found.agreed_count.sum() >= (40 if dtype == "fp32" else 36)
    assert found.token_count.tolist() == found.compared_count.tolist() == [1] * 40
    assert found.correct_count is not None and found.reference_correct_count is not None
    assert found.correct_count.tolist() == [int(sent[index] == (labels[index],)) for index in range(40)]
    shown = reference.logits(config, reference.initial_weights(config, 4), images).argmax(axis=1) == labels
    assert found.reference_correct_count.tolist() == shown.astype(int).tolist()
    assert not found.source_nats.any()


def test_a_wrong_class_does_not_agree(infer_settings: dict[str, Any]) -> None:
    task = built("torch", infer_settings)
    task.initialise(4)
    sent = answered(task, range(10))
    found = task.assess({index: ((answer + 1) % 10,) for index, (answer,) in sent.items()})
    assert found.agreed_count.tolist() == [0] * 10


def test_weights_are_those_a_training_of_the_seed_starts_from(infer_settings: dict[str, Any]) -> None:
    task = built("torch", infer_settings)
    task.initialise(4)
    config = reference.config_of(infer_settings)
    expected = reference.initial_weights(config, 4)
    assert [name for name, _ in task.weights()] == list(config.tensor_shapes())
    assert all(np.array_equal(array, expected[name]) for name, array in task.weights())


def test_a_tier_without_a_checkpoint_says_so(infer_settings: dict[str, Any]) -> None:
    task = built("torch", infer_settings | {"weights.source": "checkpoint", "checkpoint.name": ""})
    with pytest.raises(OildropError, match=r"weights\.source=random"):
        task.initialise(4)


def test_mlx_and_jax_have_no_inductor(infer_settings: dict[str, Any]) -> None:
    for framework in ("jax", "mlx"):
        with pytest.raises(Unsupported, match=r"execution\.compile=eager"):
            built(framework, infer_settings | {"execution.compile": "inductor"})


def gelu_for_silu(patch: Patch) -> None:
    import torch.nn.functional as F

    patch.setattr(F, "silu", F.gelu)


def half_the_groups(patch: Patch) -> None:
    import torch.nn.functional as F

    right = F.group_norm
    patch.setattr(F, "group_norm", lambda x, groups, gain, bias, eps: right(x, groups // 2, gain, bias, eps))


def norm_without_bias(patch: Patch) -> None:
    import torch.nn.functional as F

    right = F.group_norm
    patch.setattr(F, "group_norm", lambda x, groups, gain, bias, eps: right(x, groups, gain, None, eps))


def strides_in_the_wrong_order(patch: Patch) -> None:
    from oildrop.workloads.image_classify import model_torch

    patch.setattr(model_torch, "STRIDES", (2, 1, 1, 2))


def half_precision_called_fp32(patch: Patch) -> None:
    from oildrop.workloads.forward_torch import TorchForward

    right = TorchForward.build

    def build(self: Any) -> None:
        right(self)
        self._bf16 = True

    patch.setattr(TorchForward, "build", build)


def last_output_of_a_batch_twice(patch: Patch) -> None:
    from oildrop.workloads.forward_torch import TorchForward

    right = TorchForward.run

    def run(self: Any, inputs: Any) -> Any:
        outputs = right(self, inputs)
        outputs[0] = outputs[-1]
        return outputs

    patch.setattr(TorchForward, "run", run)


def first_weights_kept(patch: Patch) -> None:
    from oildrop.workloads.forward_torch import TorchForward

    right = TorchForward.set_weights

    def set_weights(self: Any, weights: Any) -> None:
        if not hasattr(self, "seen"):
            self.seen = True
            right(self, weights)

    patch.setattr(TorchForward, "set_weights", set_weights)


def head_without_bias(patch: Patch) -> None:
    import torch.nn.functional as F

    right = F.linear
    patch.setattr(F, "linear", lambda x, weight, bias=None: right(x, weight))


def filled_in_front(patch: Patch) -> None:
    from oildrop.workloads import forward_jax

    patch.setattr(forward_jax, "filled", lambda inputs, sizes: tuple(array[::-1] for array in filled(inputs, sizes)))


def norm_without_gain(patch: Patch) -> None:
    from oildrop.workloads.image_classify import model_jax

    right = model_jax.group_norm
    patch.setattr(model_jax, "group_norm", lambda x, gain, bias, config: right(x, 0 * gain + 1, bias, config))


def kernel_transposed(patch: Patch) -> None:
    from oildrop.workloads.image_classify import model_mlx

    right = model_mlx.convolve
    patch.setattr(model_mlx, "convolve", lambda x, kernel, *rest: right(x, kernel.transpose(0, 1, 3, 2), *rest))


MUTANTS: dict[str, tuple[str, Callable[[Patch], None]]] = {
    "GELU for SiLU": ("torch", gelu_for_silu),
    "half the groups": ("torch", half_the_groups),
    "norm without bias": ("torch", norm_without_bias),
    "strides in the wrong order": ("torch", strides_in_the_wrong_order),
    "bfloat16 that calls itself fp32": ("torch", half_precision_called_fp32),
    "an output given twice": ("torch", last_output_of_a_batch_twice),
    "weights set once and for all": ("torch", first_weights_kept),
    "head without bias": ("torch", head_without_bias),
    "batches filled in front": ("jax", filled_in_front),
    "norm without gain": ("jax", norm_without_gain),
    "kernel transposed": ("mlx", kernel_transposed),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught_by_the_gates(name: str, infer_settings: dict[str, Any], monkeypatch: Patch) -> None:
    framework, mutate = MUTANTS[name]
    where = device(framework)
    mutate(monkeypatch)
    task = make_serve_task("image_infer", infer_settings, where)
    task.load_data()
    task.build()
    assert [gate.name for gate in task.run_gates() if not gate.passed] == ["logits"]
