"""What the gates measure, by hand, and that they hold an engine to the reference."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from oildrop.workloads.engine import Inputs, Weights
from oildrop.workloads.gates import (
    GateCase,
    change_difference,
    norm_difference,
    one_minus_cosine,
    relative_rms,
    run_gates,
)

GATES = (
    "loss_train",
    "loss_eval",
    "gradient_norm",
    "gradient_cosine",
    "loss_steps",
    "weights_change",
    "average_change",
)
SETTINGS: dict[str, Any] = {
    "optimizer.learning_rate": 0.1,
    "optimizer.warmup_steps": 1,
    "optimizer.beta1": 0.9,
    "optimizer.beta2": 0.99,
    "optimizer.epsilon": 1e-8,
    "optimizer.weight_decay": 0.0,
    "optimizer.average_decay": 0.5,
} | {f"gates.limits.fp32.{name}": 1e-3 if name.endswith("change") else 1e-6 for name in GATES}


def test_relative_rms_by_hand() -> None:
    assert relative_rms(np.array([3.0, 4.0]), np.array([3.0, 5.0])) == pytest.approx((1 / 34) ** 0.5, rel=1e-15)
    assert math.isnan(relative_rms(np.array([1.0, math.nan]), np.array([1.0, 1.0])))
    assert relative_rms(np.array([1.0, -math.inf]), np.array([1.0, 1.0])) == math.inf


def test_norm_and_cosine_by_hand() -> None:
    assert norm_difference(np.array([3.0, 4.0]), np.array([0.0, 4.0])) == pytest.approx(0.25)
    assert one_minus_cosine(np.array([3.0, 0.0]), np.array([5.0, 5.0])) == pytest.approx(1 - math.sqrt(0.5))
    assert one_minus_cosine(np.array([1.0, 1e-6]), np.array([1.0, 0.0])) == pytest.approx(5e-13, rel=1e-6)


def test_change_is_relative_to_what_should_have_changed() -> None:
    before = {"w": np.array([10.0, 20.0], dtype=np.float32)}
    after = {"w": np.array([11.0, 19.0])}
    half = {"w": np.array([10.5, 19.5], dtype=np.float32)}
    assert change_difference(half, after, before) == pytest.approx(0.5)


class OneWeight:
    """An engine of the model loss_i = w x_i, in NumPy; `faults` change what it does."""

    def __init__(self, **faults: float) -> None:
        self.faults = faults

    def set_weights(self, weights: Weights) -> None:
        self.w = self.mean = float(weights["w"][0])
        self.m = self.v = 0.0
        self.t = 0

    def weights(self) -> dict[str, Any]:
        return {"w": np.array([self.w], dtype=np.float32)}

    def average(self) -> dict[str, Any]:
        return {"w": np.array([self.mean], dtype=np.float32)}

    def put(self, inputs: Inputs) -> Inputs:
        return inputs

    def losses(self, inputs: Inputs, dtype: str) -> Any:
        return self.w * inputs[0] * (1 + self.faults.get("loss", 0.0))

    def score(self, inputs: Inputs, dtype: str) -> Any:
        return self.mean * inputs[0] * (1 + self.faults.get("score", 0.0)), inputs[0] > 0

    def gradients(self, inputs: Inputs, dtype: str) -> dict[str, Any]:
        return {"w": np.array([inputs[0].mean() * (1 + self.faults.get("gradient", 0.0))])}

    def step(self, inputs: Inputs, rate: float, dtype: str) -> float:
        loss, g = float(self.w * inputs[0].mean()), float(inputs[0].mean())
        self.t += 1
        self.m, self.v = 0.9 * self.m + 0.1 * g, 0.99 * self.v + 0.01 * g * g
        corrected = self.m / (1 - 0.9**self.t) / math.sqrt(self.v / (1 - 0.99**self.t))
        self.w -= rate * (1 + self.faults.get("rate", 0.0)) * corrected
        self.mean += (0.5 + self.faults.get("average", 0.0)) * (self.w - self.mean)
        return loss

    def value(self, loss: float) -> float:
        return loss


def failing(**faults: float) -> set[str]:
    case = GateCase(
        weights={"w": np.array([1.0], dtype=np.float32)},
        train_inputs=((np.array([1.0, 3.0]),), (np.array([-1.0, 2.0]),)),
        score_inputs=(np.array([2.0, 5.0, 7.0]),),
        score_count=2,
        losses_of=lambda weights, inputs: float(weights["w"][0]) * inputs[0],
        gradient_of=lambda weights, inputs: (
            float(weights["w"][0]) * inputs[0].mean(),
            {"w": np.array([inputs[0].mean()])},
        ),
    )
    results = list(run_gates(OneWeight(**faults), case, SETTINGS, "fp32"))  # type: ignore[arg-type]
    assert [result.name for result in results] == list(GATES)
    return {result.name for result in results if not result.passed}


def test_a_faithful_engine_passes_every_gate() -> None:
    assert failing() == set()


@pytest.mark.parametrize(
    ("fault", "caught"),
    [
        ("loss", {"loss_train"}),
        ("score", {"loss_eval"}),
        ("gradient", {"gradient_norm"}),
        ("rate", {"loss_steps", "weights_change", "average_change"}),
        ("average", {"average_change"}),
    ],
)
def test_each_fault_is_caught_by_its_gate(fault: str, caught: set[str]) -> None:
    assert failing(**{fault: 0.01}) == caught


def test_what_is_not_finite_fails_and_says_so() -> None:
    assert failing(loss=math.inf) == {"loss_train"}
