"""Optimizer steps and running average against another library, by hand and in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from oildrop.workloads.engine import AdamW, Inputs
from oildrop.workloads.reference_training import train

ADAMW = AdamW(
    learning_rate=0.02,
    warmup_steps=3,
    beta1=0.8,
    beta2=0.95,
    epsilon=1e-3,
    weight_decay=0.1,
    average_decay=0.75,
)


def bowl(weights: Mapping[str, np.ndarray], batch: Inputs) -> tuple[float, dict[str, np.ndarray]]:
    """Half the squared distance of all weights from the batch's one number."""
    away = {name: tensor - batch[0] for name, tensor in weights.items()}
    return sum(float(np.sum(d**2)) for d in away.values()) / 2, away


def slope(weights: Mapping[str, np.ndarray], batch: Inputs) -> tuple[float, dict[str, np.ndarray]]:
    """A loss whose gradient is the batch's one number wherever the weights are."""
    loss = sum(float(np.sum(batch[0] * tensor)) for tensor in weights.values())
    return loss, {name: np.full(tensor.shape, batch[0], dtype=np.float64) for name, tensor in weights.items()}


def start() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(8)
    return {"matrix": rng.normal(size=(3, 2)).astype(np.float32), "scale": rng.normal(size=4).astype(np.float32)}


def batches(*numbers: float) -> list[Inputs]:
    return [(np.array(number),) for number in numbers]


def test_four_steps_equal_another_library_in_float64() -> None:
    torch = pytest.importorskip("torch")
    numbers = (0.3, -1.0, 2.0, 0.5)
    found = train(bowl, start(), batches(*numbers), ADAMW)
    tensors = {name: torch.nn.Parameter(torch.from_numpy(t).double()) for name, t in start().items()}
    optimizer = torch.optim.AdamW(
        [{"params": [tensors["matrix"]], "weight_decay": 0.1}, {"params": [tensors["scale"]], "weight_decay": 0.0}],
        lr=0.02,
        betas=(0.8, 0.95),
        eps=1e-3,
        foreach=False,
        fused=False,
    )
    losses = []
    for number, rate in zip(numbers, (0.02 / 3, 0.04 / 3, 0.02, 0.02), strict=True):
        optimizer.zero_grad()
        loss = sum(((tensor - number) ** 2).sum() / 2 for tensor in tensors.values())
        loss.backward()
        losses.append(loss.item())
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
    np.testing.assert_allclose(found.losses_K, losses, rtol=1e-14)
    for name, tensor in tensors.items():
        np.testing.assert_allclose(found.weights[name], tensor.detach().numpy(), rtol=1e-13)


def test_two_steps_of_one_number_by_hand() -> None:
    """Gradients 4 then -1, no warm-up, b1 = 1/2, b2 = 3/4, epsilon = 1, rate 1/10.

    m: 2, then 1/2 * 2 - 1/2 = 1/2, over 1 - 1/4 gives 2/3. v: 4, then 3/4 * 4 + 1/4 = 13/4, over 1 - 9/16 gives 52/7.
    """
    adamw = replace(ADAMW, learning_rate=0.1, warmup_steps=0, beta1=0.5, beta2=0.75, epsilon=1.0)
    weights = {"w": np.array([7.0], dtype=np.float32)}
    one = train(slope, weights, batches(4.0), adamw).weights["w"]
    assert one.tolist() == pytest.approx([7 - 0.1 * 4 / (4 + 1)], rel=1e-15)
    two = train(slope, weights, batches(4.0, -1.0), adamw).weights["w"]
    assert two.tolist() == pytest.approx([6.92 - 0.1 * (2 / 3) / ((52 / 7) ** 0.5 + 1)], rel=1e-15)


def test_decay_shrinks_matrices_alone_and_in_proportion_to_the_rate() -> None:
    found = train(slope, start(), batches(0.0, 0.0, 0.0), ADAMW).weights
    shrunk = start()["matrix"].astype(np.float64) * (1 - 0.002 / 3) * (1 - 0.004 / 3) * (1 - 0.002)
    np.testing.assert_allclose(found["matrix"], shrunk, rtol=1e-14)
    assert np.array_equal(found["scale"], start()["scale"])


def test_the_average_is_its_closed_form() -> None:
    """With a constant gradient every step is -rate g / (g + epsilon); the average weighs them by 1 - decay^age."""
    adamw = replace(ADAMW, warmup_steps=0, weight_decay=0.0)
    found = train(slope, start(), batches(*[0.5] * 5), adamw)
    stride = 0.02 * 0.5 / (0.5 + 1e-3)
    for name, first in start().items():
        tensor = first.astype(np.float64)
        np.testing.assert_allclose(found.weights[name], tensor - 5 * stride, rtol=1e-12)
        lag = sum(1 - 0.75**age for age in range(1, 6))
        np.testing.assert_allclose(found.average[name], tensor - lag * stride, rtol=1e-12)


def test_losses_are_those_before_each_step_and_the_first_weights_stay() -> None:
    weights, kept = start(), start()
    found = train(slope, weights, batches(2.0, 0.0), ADAMW)
    total = sum(float(tensor.astype(np.float64).sum()) for tensor in kept.values())
    assert found.losses_K.tolist() == pytest.approx([2 * total, 0.0], rel=1e-14)
    assert all(np.array_equal(weights[name], kept[name]) for name in kept)
    assert {t.dtype for t in (*found.weights.values(), *found.average.values())} == {np.dtype(np.float64)}


def test_without_a_batch_nothing_moves() -> None:
    found = train(slope, start(), [], ADAMW)
    assert found.losses_K.shape == (0,)
    for name, tensor in start().items():
        assert np.array_equal(found.weights[name], tensor)
        assert np.array_equal(found.average[name], tensor)


def test_a_missing_gradient_is_no_step_of_nothing() -> None:
    def without_scale(weights: Mapping[str, Any], batch: Inputs) -> tuple[float, dict[str, np.ndarray]]:
        loss, gradients = bowl(weights, batch)
        return loss, {"matrix": gradients["matrix"]}

    with pytest.raises(KeyError, match="scale"):
        train(without_scale, start(), batches(1.0), ADAMW)
