"""The timed loop against a task whose losses and qualities are given."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from oildrop.harness.loop import TrainPlan, steps_to_evaluation, train
from oildrop.harness.null_task import NullDevice, NullTask
from oildrop.rules.rulebook import Schedule
from oildrop.workloads.protocols import Evaluation


class Collected:
    """A sink that keeps what is emitted."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any, dict[str, Any]]] = []
        self.progress = 0

    def emit(
        self, key: str, value: Any = None, meta: dict[str, Any] | None = None, *, at_ns: int | None = None
    ) -> None:
        self.events.append((key, value, meta or {}))

    def flush(self) -> None:
        """Nothing to hand over."""

    def values(self, key: str) -> list[Any]:
        return [value for name, value, _ in self.events if name == key]

    def samples(self, key: str) -> list[int]:
        return [meta["samples"] for name, _, meta in self.events if name == key]


class Scripted(NullTask):
    """Four samples a step; its n-th evaluation gives the n-th quality."""

    def __init__(self, qualities: list[float], losses: list[float] | None = None) -> None:
        super().__init__()
        self._qualities = iter(qualities)
        self._losses = iter(losses or [1.0] * 1000)

    def samples_per_step(self) -> int:
        return 4

    def last_loss(self) -> float:
        return next(self._losses)

    def evaluate(self) -> Evaluation:
        one = np.ones(1, dtype=np.int64)
        loss = np.array([next(self._qualities)])
        return Evaluation(loss_nats=loss, source_nats=0.0 * loss, token_count=one, correct_count=one)


PLAN = TrainPlan(schedule=Schedule(first=40, every=8, early_every=16), cap_samples=100, target=0.5)


def run(task: Scripted, plan: TrainPlan = PLAN) -> tuple[Any, Collected]:
    sink = Collected()
    return train(task, NullDevice(), plan, sink, sink), sink


def test_evaluations_happen_where_the_schedule_says_until_the_target_is_met() -> None:
    end, sink = run(Scripted([0.9, 0.8, 0.7, 0.6, 0.5]))
    assert sink.samples("eval_accuracy") == [16, 32, 40, 48, 56]
    assert end.claim == "ok"
    assert [kept.samples for kept in end.kept] == [48, 56]
    assert end.steps == sink.progress - 5 == 14
    assert [len(sink.values(key)) for key in ("run_start", "run_stop", "first_loss_fp32")] == [1, 1, 1]


def test_the_cap_is_never_passed() -> None:
    end, sink = run(Scripted([1.0] * 99), TrainPlan(schedule=PLAN.schedule, cap_samples=50, target=0.5))
    assert sink.samples("eval_accuracy") == [16, 32, 40, 48]
    assert end.claim == "target_missed"
    assert "target 0.5 after 48 samples" in end.reason


def test_fixed_work_is_ok_at_its_end() -> None:
    end, sink = run(Scripted([1.0] * 99), TrainPlan(schedule=Schedule(first=0, every=400), cap_samples=24, target=None))
    assert (end.claim, sink.samples("eval_accuracy")) == ("ok", [24])


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_run_without_an_evaluation(loss: float) -> None:
    end, sink = run(Scripted([0.9, 0.9], [1.0, loss]))
    assert end.claim == "diverged"
    assert sink.samples("eval_accuracy") == [16]
    assert [meta["loss"] for key, _, meta in sink.events if key == "block_stop"][1] in ("nan", "inf")


def test_a_quality_that_is_not_finite_is_divergence() -> None:
    end, sink = run(Scripted([0.9, math.nan]))
    assert (end.claim, sink.values("eval_accuracy")) == ("diverged", [0.9, "nan"])


def test_steps_to_the_next_evaluation() -> None:
    assert steps_to_evaluation(PLAN, 0, 4) == 4
    assert steps_to_evaluation(PLAN, 32, 4) == 2
    assert steps_to_evaluation(PLAN, 96, 4) == 1
    assert steps_to_evaluation(PLAN, 88, 4) == 2
