"""A task that does nothing, to measure what the harness costs around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.records import GateResult
from oildrop.workloads.protocols import Evaluation


class NullDevice:
    """A device without work."""

    backend = "null"
    handle: Any = None

    def synchronize(self) -> None:
        """Nothing to wait for."""

    def memory_peak_bytes(self) -> int | None:
        """It has no memory."""
        return None


class NullTask:
    """A `TrainTask` whose step is `step` (nothing by default) and whose quality is always 1 nat."""

    def __init__(self, step: Callable[[], None] = lambda: None) -> None:
        self.train_step = step

    def load_data(self) -> None:
        """No data."""

    def build(self) -> None:
        """No model."""

    def run_gates(self) -> list[GateResult]:
        """Nothing to compare."""
        return []

    def initialise(self, seed: int) -> None:
        """No weights."""

    def weights(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """No weights."""
        return iter(())

    def averaged_weights(self) -> list[tuple[str, NDArray[np.float32]]]:
        """No weights."""
        return []

    def snapshot(self) -> Mapping[str, NDArray[Any]]:
        """Nothing changes."""
        return {}

    def restore(self, seed: int, state: Mapping[str, NDArray[Any]]) -> None:
        """Nothing to restore."""

    def agreed(self, flag: bool) -> bool:
        """Alone."""
        return flag

    def warm_up(self) -> None:
        """Nothing to warm."""

    def samples_per_step(self) -> int:
        """One."""
        return 1

    def tokens_per_step(self) -> int:
        """One."""
        return 1

    def last_loss(self) -> float:
        """One nat."""
        return 1.0

    def first_loss(self) -> float:
        """One nat."""
        return 1.0

    def batch_digest(self) -> tuple[str, int]:
        """Nothing was consumed."""
        return "0" * 64, 0

    def evaluate(self) -> Evaluation:
        """One document at one nat."""
        one = np.ones(1)
        count = np.ones(1, dtype=np.int64)
        return Evaluation(loss_nats=one, source_nats=0 * one, token_count=count, correct_count=0 * count)
