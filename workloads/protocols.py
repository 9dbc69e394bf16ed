"""What the harness asks of a workload, free of any framework.

A *task* is one benchmark in one framework. The harness builds it with resolved settings
and a device that the worker injects, then calls the methods in the order in which they
stand here. Constructing a task touches no device and imports no data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.records import GateResult, Scalar

if TYPE_CHECKING:
    pass

Settings = Mapping[str, Scalar]


class Device(Protocol):
    """One accelerator or the CPU, made by `harness/devices` and injected into the task."""

    @property
    def backend(self) -> str:
        """Name of the backend, such as `torch-cpu`."""

    @property
    def handle(self) -> Any:
        """The framework's own device object (`torch.device`, `jax.Device`, …)."""

    def synchronize(self) -> None:
        """Return when all work given to the device has ended."""

    def memory_peak_bytes(self) -> int | None:
        """High-water mark of the device's memory in bytes; None when the device does not say."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Per-document evidence of one evaluation; quality is recomputed from it by the judge.

    Quality is (sum of `loss_nats` - sum of `source_nats`) / sum of `token_count`: excess loss in
    nats a token for language, cross-entropy in nats an image where `source_nats` is zero.

    Attributes:
        loss_nats: float64 [N], the model's -ln q summed over the document's scored tokens.
        source_nats: float64 [N], the source's own -ln p over the same tokens; zero where unknown by nature.
        token_count: int64 [N], scored tokens (1 for an image).
        correct_count: int64 [N], tokens (or images) whose most probable prediction was right.
    """

    loss_nats: NDArray[np.float64]
    source_nats: NDArray[np.float64]
    token_count: NDArray[np.int64]
    correct_count: NDArray[np.int64]


class TrainTask(Protocol):
    """A training benchmark in one framework.

    The constructor is `Task(settings: Settings, device: Device)`: it stores both and nothing else.
    """

    def load_data(self) -> None:
        """Read or derive what does not depend on the run's seed (tables, files, evaluation documents)."""

    def build(self) -> None:
        """Make the model and the compiled step, and run one step on a synthetic batch so that they exist."""

    def run_gates(self) -> list[GateResult]:
        """Compare the graph that will be timed with the float64 reference, on the fixed gate seed."""

    def initialise(self, seed: int) -> None:
        """Set the weights and the data order of `seed`; reset the optimizer, counters and digests."""

    def snapshot(self) -> Mapping[str, NDArray[Any]]:
        """All that training steps changed, on the host, by name; where several processes train, each must ask."""

    def restore(self, seed: int, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on, to the bit, from where `state` was taken in a run of `seed`."""

    def agreed(self, flag: bool) -> bool:
        """Rank 0's `flag`, so that processes which train together decide alike; `flag` where there is one."""

    def weights(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Each tensor as host fp32, under its canonical name, in canonical order."""

    def averaged_weights(self) -> list[tuple[str, NDArray[np.float32]]]:
        """Each tensor of their running average, which evaluations score, likewise; all processes must ask at once."""

    def warm_up(self) -> None:
        """Run steps on synthetic batches, then restore weights, optimizer and counters exactly."""

    def train_step(self) -> None:
        """Enqueue one optimizer step on the next batch. The timed step: no print, file or host read here."""

    def samples_per_step(self) -> int:
        """Documents or images that one step consumes."""

    def tokens_per_step(self) -> int:
        """Scored tokens that one step consumes (images count one each)."""

    def last_loss(self) -> float:
        """Mean training loss of the newest step in nats a token; waits for the device."""

    def first_loss(self) -> float:
        """Mean training loss of the first step in fp32, kept on the device until asked for."""

    def batch_digest(self) -> tuple[str, int]:
        """Rolling SHA-256 over all training batches consumed so far, and their count."""

    def evaluate(self) -> Evaluation:
        """Score the rulebook's held-out documents; returns after the device has ended."""


@runtime_checkable
class Loading(Protocol):
    """A training task that knows how long it took to make its batches."""

    def batch_ns(self) -> int:
        """Nanoseconds in which training steps took their batches, all steps so far."""
