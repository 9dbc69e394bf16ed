"""The timed loop against a task whose losses and qualities are given."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from oildrop.harness.loop import TrainPlan, steps_of_block, steps_to_evaluation, train
from oildrop.harness.null_task import NullDevice, NullTask
from oildrop.rules.rulebook_parts import Schedule
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


def test_shorter_blocks_leave_evaluations_where_they_were() -> None:
    qualities = [0.9, 0.8, 0.7, 0.6, 0.5]
    whole, short = (run(Scripted(qualities), replace(PLAN, block_samples=most)) for most in (None, 9))
    # Steps of 4 samples, 2 of which a block of at most 9: 16 samples are 2 blocks, 8 are 1.
    assert short[1].samples("block_start") == [0, 8, 16, 24, 32, 40, 48]
    assert short[1].samples("eval_accuracy") == whole[1].samples("eval_accuracy") == [16, 32, 40, 48, 56]
    assert (short[0].claim, short[0].steps, short[0].kept) == ("ok", whole[0].steps, whole[0].kept)
    assert len(short[1].values("first_loss_fp32")) == 1


def test_a_short_block_whose_loss_is_not_finite_ends_the_run() -> None:
    end, sink = run(Scripted([0.9], [1.0, math.nan]), replace(PLAN, block_samples=4))
    assert (end.claim, sink.samples("block_start"), sink.samples("eval_accuracy")) == ("diverged", [0, 4], [])


def test_a_block_holds_one_step_at_least() -> None:
    assert steps_of_block(replace(PLAN, block_samples=3), 0, 4) == (1, True)
    assert steps_of_block(replace(PLAN, block_samples=8), 32, 4) == (2, False)


class Loading(Scripted):
    """Hands over a step in 3 ms, of which making the batch takes 2 ms."""

    def __init__(self, clock: list[int]) -> None:
        super().__init__([0.5])
        self.clock = clock
        self.made_ns = 0
        self.train_step = self.hand_over

    def hand_over(self) -> None:
        self.clock[0] += 3_000_000
        self.made_ns += 2_000_000

    def batch_ns(self) -> int:
        return self.made_ns


class Busy(NullDevice):
    """Takes 10 ms to end, for each step that was handed over."""

    def __init__(self, clock: list[int], task: Loading) -> None:
        self.clock, self.task, self.ended = clock, task, 0

    def synchronize(self) -> None:
        steps = self.task.made_ns // 2_000_000
        self.clock[0] += 10_000_000 * (steps - self.ended)
        self.ended = steps


def test_a_block_tells_when_the_host_had_handed_over_its_steps_and_how_long_batches_took(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0]
    monkeypatch.setattr("oildrop.harness.loop.time.monotonic_ns", lambda: clock[0])
    task, sink = Loading(clock), Collected()
    train(task, Busy(clock, task), PLAN, sink, sink)
    (meta,) = [meta for key, _, meta in sink.events if key == "block_stop"]
    assert meta["steps"] == 4
    assert (meta["enqueue_ns"], meta["batch_ns"]) == (4 * 3_000_000, 4 * 2_000_000)


def test_a_task_that_does_not_know_its_batches_tells_nothing_of_them() -> None:
    _, sink = run(Scripted([0.5]))
    (meta,) = [meta for key, _, meta in sink.events if key == "block_stop"]
    assert "batch_ns" not in meta and meta["enqueue_ns"] >= 0
