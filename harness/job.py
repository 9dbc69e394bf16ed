"""What a supervisor is given: one registered run, and who is told how it gets on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from oildrop.harness.beside import Beside
from oildrop.results.bundle.write import BundleWriter
from oildrop.rules.records import RunSpec

WORKER_MODULE = "oildrop.harness.worker"


class Observer(Protocol):
    """Who is told how a run gets on."""

    def phase(self, name: str) -> None:
        """The worker began phase `name`."""

    def evaluated(self, samples: int, quality: float | None) -> None:
        """An evaluation after `samples` samples gave `quality`."""

    def served(self, answered: int) -> None:
        """So many requests have been answered."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One registered run and what its supervisor needs.

    Attributes:
        step_cost_s: The harness's cost a step as calibrated on this host, seconds; None where that failed.
        keep_weights: Folder that gets the trained weights, as `<run_id>.safetensors`; None keeps none.
        unsupported_reason: Set where the run cannot start: it is recorded as `unsupported` without a worker.
        environment: Variables that the worker gets beside this process's own.
        beside: The run that shares the device, where one was declared; it stands for signals too.
    """

    spec: RunSpec
    writer: BundleWriter
    store_root: Path
    reserve: Path
    salt: str
    redact: Callable[[Any], Any]
    step_cost_s: float | None
    keep_weights: Path | None = None
    unsupported_reason: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    worker_module: str = WORKER_MODULE
    beside: Beside | None = None
