from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from oildrop.workloads.image_classify.gates import relative_rms

torch = pytest.importorskip("torch")

from oildrop.workloads.image_classify import model_torch  # noqa: E402


def swap_config(task: Any, **changed: Any) -> None:
    config = dataclasses.replace(task._config, **changed)
    task._losses = functools.partial(model_torch.image_losses, config)


def test_relative_rms_by_hand() -> None:
    assert relative_rms(np.array([3.0, 5.0]), np.array([3.0, 4.0])) == pytest.approx((0.5 / 12.5) ** 0.5)
    assert math.isnan(relative_rms(np.array([1.0, math.nan]), np.array([1.0, 1.0])))
    assert relative_rms(np.array([1.0, -math.inf]), np.array([1.0, 1.0])) == math.inf


def test_a_faithful_task_passes_every_gate(make_task: Callable[..., Any]) -> None:
    results = make_task().run_gates()
    assert [(r.name, r.dtype) for r in results] == [("image_loss_train", "fp32"), ("image_loss_eval", "fp32")]
    assert all(r.passed and r.limit == 1e-5 for r in results)
    # Rounding alone: above nothing, far below the limit.
    assert all(1e-9 < r.value < 2e-6 for r in results)


def test_bf16_is_compared_in_fp32_and_in_bf16(make_task: Callable[..., Any]) -> None:
    results = make_task(execution__dtype="bf16").run_gates()
    assert [r.dtype for r in results] == ["fp32", "fp32", "bf16", "bf16"]
    assert all(r.passed for r in results)
    assert all(r.value > 1e-5 for r in results[2:])


def test_no_false_alarm_over_gate_seeds(make_task: Callable[..., Any]) -> None:
    task = make_task(execution__dtype="bf16")
    for seed in range(25):
        task._settings = task._settings | {"gates.seed": seed}
        assert all(r.passed for r in task.run_gates()), seed


def gelu_for_silu(task: Any, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(model_torch.F, "silu", model_torch.F.gelu)


def wrong_epsilon(task: Any, patch: pytest.MonkeyPatch) -> None:
    swap_config(task, norm_epsilon=1e-6)


def half_the_groups(task: Any, patch: pytest.MonkeyPatch) -> None:
    swap_config(task, norm_groups=4)


def strides_swapped(task: Any, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(model_torch, "STRIDES", (2, 1, 1, 2))


def norm_without_bias(task: Any, patch: pytest.MonkeyPatch) -> None:
    real = model_torch.F.group_norm
    patch.setattr(model_torch.F, "group_norm", lambda x, groups, gain, bias, eps: real(x, groups, gain, None, eps))


def labels_off_by_one(task: Any, patch: pytest.MonkeyPatch) -> None:
    real = model_torch.image_losses
    task._losses = lambda w, x, y, dtype: real(task._config, w, x, (y + 1) % 10, dtype)


def one_image_wrong(task: Any, patch: pytest.MonkeyPatch) -> None:
    real = model_torch.image_losses

    def blind(w: Any, x: Any, y: Any, dtype: Any) -> Any:
        x = x.clone()
        x[0, 0, 0] += 0.125
        return real(task._config, w, x, y, dtype)

    task._losses = blind


def infinite(task: Any, patch: pytest.MonkeyPatch) -> None:
    task._losses = lambda w, x, y, dtype: (torch.full((len(y),), math.inf), y == y)


MUTANTS = [
    gelu_for_silu,
    wrong_epsilon,
    half_the_groups,
    strides_swapped,
    norm_without_bias,
    labels_off_by_one,
    one_image_wrong,
    infinite,
]


@pytest.mark.parametrize("mutate", MUTANTS)
def test_every_mutant_fails_every_gate(
    make_task: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, mutate: Callable[..., None]
) -> None:
    task = make_task()
    mutate(task, monkeypatch)
    results = task.run_gates()
    assert len(results) == 2
    assert not any(r.passed for r in results)
