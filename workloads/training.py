"""A training task in any framework: a benchmark's lesson taught through a framework's engine.

What happens when is decided here, once for all frameworks and benchmarks: which batch comes next, what is hashed,
when the loss is read, how an evaluation is cut into batches. Neither a framework nor a benchmark is known here.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.errors import OildropError
from oildrop.rules.records import GateResult
from oildrop.workloads.engine import Engine, Inputs, State, Weights, adamw_of
from oildrop.workloads.gates import GateCase, judged, relative_rms, run_gates
from oildrop.workloads.protocols import Evaluation, Settings

NO_BATCH_SHA256 = bytes(32)
DIGEST = "digest"

Batch = tuple[NDArray[np.int32], ...]
"""Items of the data as integers, the same bits on every machine; the first axis of each array is the batch."""


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """What evaluations score.

    Attributes:
        batch: All N items.
        source_nats: float64 [N], the source's own -ln p; zero where unknown by nature.
        token_count: int64 [N], scored tokens (1 for an image).
    """

    batch: Batch
    source_nats: NDArray[np.float64]
    token_count: NDArray[np.int64]


class Lesson(Protocol):
    """What a benchmark is, free of any framework: data, first weights, and the reference for its gates."""

    @property
    def samples_per_step(self) -> int:
        """Items of one training batch."""

    @property
    def tokens_per_sample(self) -> int:
        """Scored tokens of one item; images count one."""

    @property
    def samples_per_score(self) -> int:
        """Items that an evaluation scores at once."""

    def load(self) -> None:
        """Read or derive what does not depend on the run's seed."""

    def held_out(self) -> HeldOut:
        """The rulebook's held-out items."""

    def batches(self, seed: int) -> Iterator[Batch]:
        """The training batches of `seed`, endlessly, in order."""

    def synthetic_batch(self) -> Batch:
        """A batch of the training shape that is no training data."""

    def inputs(self, batch: Batch) -> Inputs:
        """What the model takes for `batch`."""

    def initial_weights(self, seed: int) -> Weights:
        """The weights that a run of `seed` starts from."""

    def gate_case(self) -> GateCase:
        """What the gates ask, and the float64 reference that answers."""


@dataclass(frozen=True, kw_only=True)
class Reduced:
    """The same benchmark with fewer layers and shorter batches, small enough for the float64 reference."""

    settings: Settings
    lesson: Lesson
    engine: Engine


class Training:
    """The `TrainTask` (see `protocols`) of any lesson and engine.

    Evaluations score a running average of the weights, whose loss falls evenly where that of the newest weights
    jumps: the instant at which the target is met is then well defined.

    Args:
        reduced: What the gates are asked of where the whole is too large for the reference; None asks the whole.
    """

    def __init__(self, settings: Settings, lesson: Lesson, engine: Engine, reduced: Reduced | None = None) -> None:
        self._settings = settings
        self._lesson = lesson
        self._engine = engine
        self._reduced = reduced
        self._adamw = adamw_of(settings)
        self._dtype = str(settings["execution.dtype"])
        self._steps = self._batch_ns = 0
        self._digest = NO_BATCH_SHA256
        self._unhashed: list[Batch] = []
        self._first_loss: Any = None
        self._last_loss: Any = None

    def load_data(self) -> None:
        """Everything that does not depend on the run's seed."""
        self._lesson.load()
        self._held_out = self._lesson.held_out()

    def build(self) -> None:
        """Make the engine's graphs and run each once. Raises Unsupported without a compiler that is asked for."""
        self._engine.build()
        pieces = wrapped(self._held_out.batch, self._lesson.samples_per_score)
        self._held_out_inputs = [self._engine.put(self._lesson.inputs(piece)) for piece in pieces]
        self.initialise(int(self._settings["gates.seed"]))
        self.warm_up()

    def run_gates(self) -> list[GateResult]:
        """Losses, gradients and steps against the reference, in strict fp32 and in the declared dtype."""
        settings, lesson, engine = self._settings, self._lesson, self._engine
        results = []
        if self._reduced is not None:
            results = list(self._whole_against_itself())
            settings, lesson, engine = self._reduced.settings, self._reduced.lesson, self._reduced.engine
            lesson.load()
            engine.build()
        case = lesson.gate_case()
        for dtype in dict.fromkeys(("fp32", self._dtype)):
            results += run_gates(engine, case, settings, dtype)
        self._reduced = None
        return results

    def _whole_against_itself(self) -> Iterator[GateResult]:
        """The first loss at full size: the declared dtype against strict fp32."""
        batch = self._engine.put(self._lesson.inputs(next(self._batches)))
        strict = self._engine.losses(batch, "fp32").astype(np.float64)
        found = self._engine.losses(batch, self._dtype)
        yield judged("loss_full", self._dtype, relative_rms(found, strict), self._settings)

    def initialise(self, seed: int) -> None:
        """Weights and data of `seed`; optimizer, average, counters and digest start over."""
        self._engine.set_weights(self._lesson.initial_weights(seed))
        self._batches = self._lesson.batches(seed)
        self._steps, self._digest, self._unhashed = 0, NO_BATCH_SHA256, []
        self._first_loss = self._last_loss = None

    def snapshot(self) -> State:
        """The engine's state, and the digest of the batches that led there."""
        return {**self._engine.snapshot(), DIGEST: np.frombuffer(self._hashed(), dtype=np.uint8)}

    def restore(self, seed: int, state: State) -> None:
        """Go on after the batches of `seed` that `state` had seen, which are drawn again and hashed.

        Raises:
            OildropError: Other batches led to `state`.
        """
        self.initialise(seed)
        for _ in range(int(state["step"])):
            self._digest = next_digest(self._digest, next(self._batches))
            self._steps += 1
        kept = state[DIGEST].tobytes()
        if kept != self._digest:
            raise OildropError(
                f"the {self._steps} batches of seed {seed} hash to {self._digest.hex()[:12]}, those of the snapshot "
                f"to {kept.hex()[:12]}; start the run again"
            )
        self._engine.restore(state)

    def agreed(self, flag: bool) -> bool:
        """Rank 0's `flag`."""
        return self._engine.agreed(flag)

    def weights(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """The newest weights (not their average) in canonical order."""
        yield from self._engine.weights().items()

    def averaged_weights(self) -> list[tuple[str, NDArray[np.float32]]]:
        """Their running average in canonical order."""
        return list(self._engine.average().items())

    def warm_up(self) -> None:
        """Synthetic steps and one evaluation, then the weights as they were and an optimizer that has seen nothing."""
        before = self._engine.weights()
        synthetic = self._engine.put(self._lesson.inputs(self._lesson.synthetic_batch()))
        for step in range(max(1, int(self._settings["execution.warmup_steps"]))):
            self._engine.step(synthetic, self._adamw.rate(step), self._dtype)
        self.evaluate()
        self._engine.set_weights(before)

    def train_step(self) -> None:
        """Take the next batch and enqueue one optimizer step on it.

        The batch is hashed when its digest is asked for, between the timed blocks: beside a small model's step
        hashing took 28 us. Until then it is kept, a block's batches at most.
        """
        start_ns = time.monotonic_ns()
        batch = next(self._batches)
        self._batch_ns += time.monotonic_ns() - start_ns
        self._unhashed.append(batch)
        inputs = self._engine.put(self._lesson.inputs(batch))
        self._last_loss = self._engine.step(inputs, self._adamw.rate(self._steps), self._dtype)
        if self._steps == 0:
            self._first_loss = self._last_loss
        self._steps += 1

    def batch_ns(self) -> int:
        """In `train_step`, until the next batch was there as integers on the host."""
        return self._batch_ns

    def samples_per_step(self) -> int:
        """Items a step."""
        return self._lesson.samples_per_step

    def tokens_per_step(self) -> int:
        """Scored tokens a step."""
        return self._lesson.samples_per_step * self._lesson.tokens_per_sample

    def last_loss(self) -> float:
        """Mean training loss of the newest step, nats a scored token."""
        return self._host_value(self._last_loss)

    def first_loss(self) -> float:
        """Mean training loss of the first step, nats a scored token."""
        return self._host_value(self._first_loss)

    def batch_digest(self) -> tuple[str, int]:
        """Rolling digest of all training batches, and their count."""
        return self._hashed().hex(), self._steps

    def evaluate(self) -> Evaluation:
        """Score the held-out items with the averaged weights; losses in fp32, summed an item in float64."""
        held_out = self._held_out
        count = len(held_out.token_count)
        scored = [self._engine.score(inputs, self._dtype) for inputs in self._held_out_inputs]
        losses = np.concatenate([losses for losses, _ in scored])[:count].astype(np.float64)
        right = np.concatenate([right for _, right in scored])[:count].astype(np.int64)
        return Evaluation(
            loss_nats=losses.reshape(count, -1).sum(axis=1),
            source_nats=held_out.source_nats.copy(),
            token_count=held_out.token_count.copy(),
            correct_count=right.reshape(count, -1).sum(axis=1),
        )

    def _hashed(self) -> bytes:
        """The digest with every batch so far in it."""
        for batch in self._unhashed:
            self._digest = next_digest(self._digest, batch)
        self._unhashed.clear()
        return self._digest

    def _host_value(self, loss: Any) -> float:
        if loss is None:
            raise OildropError("no loss yet: 0 training steps were taken, at least 1 is needed; call train_step first")
        return self._engine.value(loss)


def wrapped(batch: Batch, size: int) -> list[Batch]:
    """`batch` cut into pieces of `size` items, the last filled up from the beginning: one graph serves them all."""
    count = len(batch[0])
    places = [np.arange(start, start + size) % count for start in range(0, count, size)]
    return [tuple(array[place] for array in batch) for place in places]


def next_digest(digest: bytes, batch: Batch) -> bytes:
    """SHA-256 over `digest`, then each array of the batch as little-endian int32 in C order."""
    return hashlib.sha256(digest + b"".join(array.astype("<i4", copy=False).tobytes() for array in batch)).digest()
