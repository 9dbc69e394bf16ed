"""The training loop that is timed: blocks of steps between evaluations, or shorter ones where the plan says so.

Both edges of a block are stamped after the device has ended all its work. Inside a block there is
the task's step and one addition; losses are read, digests taken and events buffered between blocks.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from oildrop.rules import keys
from oildrop.rules.canonical import json_number
from oildrop.rules.formulas.quality import accuracy, excess_loss
from oildrop.rules.rulebook_parts import Schedule
from oildrop.workloads.protocols import Device, Evaluation, Loading, TrainTask

KEPT_EVALUATIONS = 2
"""The last two evaluations are kept a document each: between them lies the interpolated crossing."""


class Sink(Protocol):
    """Where the loop's events go; the worker's emitter, or a list in tests."""

    def emit(
        self, key: str, value: Any = None, meta: dict[str, Any] | None = None, *, at_ns: int | None = None
    ) -> None:
        """Buffer one event."""

    def flush(self) -> None:
        """Hand buffered events over."""


class Progress(Protocol):
    """Counts steps for the heartbeat."""

    progress: int


@dataclass(frozen=True, kw_only=True)
class TrainPlan:
    """When to evaluate and when to stop.

    Attributes:
        cap_samples: No block goes past this many samples.
        target: Quality at or under which the run has met its goal; None for fixed work.
        block_samples: No block is longer, evaluated after or not; None: each ends at an evaluation.
    """

    schedule: Schedule
    cap_samples: int
    target: float | None
    block_samples: int | None = None


@dataclass(frozen=True, kw_only=True)
class Kept:
    """One evaluation with the samples consumed before it."""

    samples: int
    evaluation: Evaluation


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where training stands between two blocks: samples and steps done, and the evaluations kept so far."""

    samples: int = 0
    steps: int = 0
    kept: tuple[Kept, ...] = ()


class Keeper(Protocol):
    """Keeps what a restarted run needs."""

    def evaluated(self, task: TrainTask, position: Position) -> None:
        """An evaluation has ended and training will go on; called outside every timed block."""


@dataclass(frozen=True, kw_only=True)
class TrainEnd:
    """How the loop ended: the outcome to claim, and the evaluations to keep."""

    claim: Literal["ok", "target_missed", "diverged"]
    reason: str | None
    kept: tuple[Kept, ...]
    steps: int


def train(
    task: TrainTask,
    device: Device,
    plan: TrainPlan,
    sink: Sink,
    progress: Progress,
    *,
    resume: Position | None = None,
    keeper: Keeper | None = None,
) -> TrainEnd:
    """Train to the target, the cap or divergence, emitting every block and evaluation.

    Args:
        resume: Where a run whose clock is running goes on; None starts the clock.
    """
    per_step = task.samples_per_step()
    position = resume or Position()
    samples, steps, kept = position.samples, position.steps, list(position.kept)
    if resume is None:
        sink.emit(keys.RUN_START)
    while True:
        block_steps, is_cut = steps_of_block(plan, samples, per_step)
        loss = _run_block(task, device, block_steps, samples, sink, progress)
        steps += block_steps
        samples += block_steps * per_step
        if steps == block_steps:
            sink.emit(keys.FIRST_LOSS_FP32, json_number(task.first_loss()))
        if is_cut and math.isfinite(loss):
            sink.flush()
            continue
        quality = math.nan
        if math.isfinite(loss):
            evaluation = _evaluate(task, samples, sink, progress)
            kept = [*kept, Kept(samples=samples, evaluation=evaluation)][-KEPT_EVALUATIONS:]
            if len(kept) == 1:
                sink.emit(keys.EVAL_SAMPLES, len(evaluation.token_count))
            quality = excess_loss(evaluation.loss_nats, evaluation.source_nats, evaluation.token_count.tolist())
        end = _ending(plan, samples, per_step, loss, quality)
        if end is not None:
            claim, reason = end
            sink.emit(keys.RUN_STOP, None, {"status": "success" if claim == "ok" else "aborted", "samples": samples})
            sink.flush()
            return TrainEnd(claim=claim, reason=reason, kept=tuple(kept), steps=steps)
        sink.flush()  # First: what a checkpoint holds is in the log, even if the process dies between the two.
        if keeper is not None:
            keeper.evaluated(task, Position(samples=samples, steps=steps, kept=tuple(kept)))


def steps_of_block(plan: TrainPlan, samples: int, per_step: int) -> tuple[int, bool]:
    """Steps of the block that begins after `samples`, and whether it ends before the next evaluation is due."""
    steps = steps_to_evaluation(plan, samples, per_step)
    if plan.block_samples is None:
        return steps, False
    most = max(plan.block_samples // per_step, 1)
    return min(steps, most), most < steps


def steps_to_evaluation(plan: TrainPlan, samples: int, per_step: int) -> int:
    """Steps from `samples` to the next evaluation or the cap, at least one."""
    steps = 1
    while True:
        after = samples + steps * per_step
        if plan.schedule.evaluates_after(after) or after + per_step > plan.cap_samples:
            return steps
        steps += 1


def _run_block(task: TrainTask, device: Device, steps: int, samples: int, sink: Sink, progress: Progress) -> float:
    """One timed block; returns the loss of its last step in nats a token."""
    step = task.train_step
    loading = task if isinstance(task, Loading) else None
    loaded_ns = loading.batch_ns() if loading else 0
    device.synchronize()
    start_ns = time.monotonic_ns()
    for _ in range(steps):
        step()
        progress.progress += 1
    handed_over_ns = time.monotonic_ns()
    device.synchronize()
    stop_ns = time.monotonic_ns()
    loss = task.last_loss()
    per_step = task.samples_per_step()
    sink.emit(keys.PHASE, "train", at_ns=start_ns)
    sink.emit(keys.BLOCK_START, None, {"samples": samples}, at_ns=start_ns)
    counts = {"steps": steps, "samples": steps * per_step, "tokens": steps * task.tokens_per_step()}
    counts["enqueue_ns"] = handed_over_ns - start_ns
    if loading is not None:
        counts["batch_ns"] = loading.batch_ns() - loaded_ns
    sink.emit(keys.BLOCK_STOP, None, {**counts, "loss": json_number(loss)}, at_ns=stop_ns)
    digest, batches = task.batch_digest()
    sink.emit(keys.BATCH_SHA256, digest, {"batches": batches})
    return loss


def _evaluate(task: TrainTask, samples: int, sink: Sink, progress: Progress) -> Evaluation:
    """One evaluation; its edges are stamped before it starts and after the device has ended."""
    start_ns = time.monotonic_ns()
    evaluation = task.evaluate()
    stop_ns = time.monotonic_ns()
    progress.progress += 1
    tokens = evaluation.token_count.tolist()
    quality = excess_loss(evaluation.loss_nats, evaluation.source_nats, tokens)
    right = accuracy(evaluation.correct_count.tolist(), tokens)
    sink.emit(keys.PHASE, "eval", at_ns=start_ns)
    sink.emit(keys.EVAL_START, None, {"samples": samples}, at_ns=start_ns)
    sink.emit(keys.EVAL_STOP, None, {"samples": samples}, at_ns=stop_ns)
    sink.emit(
        keys.EVAL_ACCURACY,
        json_number(quality),
        {"samples": samples, "accuracy": json_number(right), "documents": len(tokens)},
        at_ns=stop_ns,
    )
    return evaluation


def _ending(
    plan: TrainPlan, samples: int, per_step: int, loss: float, quality: float
) -> tuple[Literal["ok", "target_missed", "diverged"], str | None] | None:
    """Claim and reason when the run is over after this evaluation, else None."""
    if not math.isfinite(loss):
        return "diverged", f"training loss is {json_number(loss)} after {samples} samples"
    if not math.isfinite(quality):
        return "diverged", f"evaluated quality is {json_number(quality)} after {samples} samples"
    if plan.target is not None and quality <= plan.target:
        return "ok", None
    if samples + per_step > plan.cap_samples:
        if plan.target is None:
            return "ok", None
        return "target_missed", f"quality {quality:.4g} is over target {plan.target:g} after {samples} samples"
    return None
