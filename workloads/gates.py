"""The gates: before the clock starts, the graphs that will be timed are compared with the float64 reference.

Asked of every engine, at weights under which each part of the model matters: losses of the training and of the
evaluation graph, gradients a tensor, and what a few optimizer steps did to weights, average and loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.records import GateResult, Scalar
from oildrop.rules.rulebook import GATE_SETTINGS
from oildrop.workloads.engine import Engine, Inputs, Weights, adamw_of
from oildrop.workloads.protocols import Settings
from oildrop.workloads.reference_training import Stepped, train

Tensors = Mapping[str, NDArray[np.float64]]

RATE = 4e-3
"""Of the followed steps: the change of weights and average stands well above fp32's rounding, and no model diverges."""


@dataclass(frozen=True, kw_only=True)
class GateCase:
    """What is asked, and who answers.

    Attributes:
        weights: Gate weights: every tensor matters (matrices around 0, norms' scales around 1).
        train_inputs: One batch of the training shape for each step.
        score_inputs: One batch of the evaluation's shape whose first `score_count` items are asked for.
        losses_of: Reference: losses in nats, float64, of weights and inputs.
        gradient_of: Reference: mean loss and its gradient by canonical name.
    """

    weights: Weights
    train_inputs: tuple[Inputs, ...]
    score_inputs: Inputs
    score_count: int
    losses_of: Callable[[Weights, Inputs], NDArray[np.float64]]
    gradient_of: Callable[[Weights, Inputs], tuple[float, Tensors]]


def run_gates(engine: Engine, case: GateCase, settings: Settings, dtype: str) -> Iterator[GateResult]:
    """Every gate in `dtype`; limits are the settings' `gates.limits.<dtype>.<gate>`. Leaves other weights behind."""
    for name, value in measure(engine, case, settings, dtype):
        yield judged(name, dtype, value, settings)


def judged(name: str, dtype: str, value: float, settings: Settings) -> GateResult:
    """`value` beside its limit; what is not finite fails and is shown by name."""
    limit = float(settings[f"gates.limits.{dtype}.{name}"])
    shown: float | Literal["nan", "inf"] = value
    if not math.isfinite(value):
        shown = "nan" if math.isnan(value) else "inf"
    return GateResult(name=name, dtype=dtype, value=shown, limit=limit, passed=value <= limit)


def measure(engine: Engine, case: GateCase, settings: Settings, dtype: str) -> Iterator[tuple[str, float]]:
    """How far the engine is from the reference, by name of the gate (all relative, 0 is exact)."""
    engine.set_weights(case.weights)
    first = engine.put(case.train_inputs[0])
    yield "loss_train", relative_rms(engine.losses(first, dtype), case.losses_of(case.weights, case.train_inputs[0]))
    losses, _ = engine.score(engine.put(case.score_inputs), dtype)
    asked = tuple(array[: case.score_count] for array in case.score_inputs)
    yield "loss_eval", relative_rms(losses[: case.score_count], case.losses_of(case.weights, asked))
    _, expected = case.gradient_of(case.weights, case.train_inputs[0])
    found = engine.gradients(first, dtype)
    yield "gradient_norm", max(norm_difference(found[name], expected[name]) for name in expected)
    yield "gradient_cosine", max(one_minus_cosine(found[name], expected[name]) for name in expected)
    yield from _steps(engine, case, settings, dtype)


def _steps(engine: Engine, case: GateCase, settings: Settings, dtype: str) -> Iterator[tuple[str, float]]:
    """What training steps at one fixed rate did, whatever rate the run will train at."""
    adamw = replace(adamw_of(settings), learning_rate=RATE, warmup_steps=0)
    expected: Stepped = train(case.gradient_of, case.weights, case.train_inputs, adamw)
    handles = [
        engine.step(engine.put(inputs), adamw.rate(step), dtype) for step, inputs in enumerate(case.train_inputs)
    ]
    losses_K = np.array([engine.value(handle) for handle in handles])
    yield "loss_steps", relative_rms(losses_K, expected.losses_K)
    yield "weights_change", change_difference(engine.weights(), expected.weights, case.weights)
    yield "average_change", change_difference(engine.average(), expected.average, case.weights)


def relative_rms(found: NDArray[np.floating], expected: NDArray[np.float64]) -> float:
    """Root mean square of the difference over that of `expected`; `inf` or `nan` where `found` is not finite."""
    if not np.isfinite(found).all():
        return math.nan if np.isnan(found).any() else math.inf
    difference = found.astype(np.float64) - expected
    return float(np.sqrt(np.mean(difference**2) / np.mean(expected**2)))


def norm_difference(found: NDArray[np.floating], expected: NDArray[np.float64]) -> float:
    """How far the ratio of the two norms is from 1."""
    return abs(float(np.linalg.norm(found.astype(np.float64)) / np.linalg.norm(expected)) - 1.0)


def one_minus_cosine(found: NDArray[np.floating], expected: NDArray[np.float64]) -> float:
    """1 minus the cosine of the angle between the two, as half the squared distance of the unit vectors.

    That form keeps its digits where the angle is small. 1 where nothing was found.
    """
    a, b = found.astype(np.float64), expected
    if not a.any():
        return 1.0
    return float(np.sum((a / np.linalg.norm(a) - b / np.linalg.norm(b)) ** 2) / 2)


def change_difference(found: Weights, expected: Tensors, before: Weights) -> float:
    """Largest over all tensors: RMS of the difference in change over RMS of the expected change."""
    return max(
        relative_rms(found[name].astype(np.float64) - before[name], expected[name] - before[name].astype(np.float64))
        for name in expected
    )


def gate_changes(settings: Settings) -> dict[str, Scalar]:
    """What the gates of a large tier change so that the reference keeps up, by the keys of what is changed."""
    return {key.removeprefix(GATE_SETTINGS): settings[key] for key in settings if key.startswith(GATE_SETTINGS)}


def changes_the_model(changes: Settings) -> bool:
    """Whether they are of more than what the gates ask: then another engine than the timed one answers."""
    return any(not key.startswith("gates.") for key in changes)
