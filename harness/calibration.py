"""What the harness itself costs a step, measured on this host and kept in the store.

The timed loop is run with a task that does nothing, against a bare loop over the same calls; the
difference a step is the harness's cost. Pairs are interleaved, and the median pair counts. Training
and serving have loops of their own; a served model's step is taken with one request, which it answers.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from oildrop.harness.load.generate import generate
from oildrop.harness.load.ledger import Ledger
from oildrop.harness.load.plan import LoadPlan
from oildrop.harness.loop import TrainPlan, train
from oildrop.harness.null_serve import NullServe
from oildrop.harness.null_task import NullDevice, NullTask
from oildrop.rules.records import RunSpec
from oildrop.rules.rulebook_parts import Schedule

SCHEMA = "oildrop.calibration/2"
PAIRS = 9
STEPS = 2000


@dataclass(frozen=True, kw_only=True)
class StepCosts:
    """Seconds that the harness itself takes a step: of training, and of a served model."""

    trained_s: float
    served_s: float

    def of(self, spec: RunSpec) -> float:
        """That of the run's loop."""
        return self.trained_s if spec.scenario is None else self.served_s


class _Silence:
    """Takes the loop's events and counts its steps, keeping nothing."""

    progress = 0
    answered: int | None = None

    def emit(
        self, key: str, value: Any = None, meta: dict[str, Any] | None = None, *, at_ns: int | None = None
    ) -> None:
        """Nothing is kept."""

    def flush(self) -> None:
        """Nothing is handed over."""


def step_costs(path: Path) -> StepCosts | None:
    """The harness's costs as stored for this host and release, else measured now and stored.

    None when they cannot be stored because the disk is full or read-only; the metric is then missing with a reason.
    """
    stored = _stored(path)
    if stored is not None:
        return stored
    measured = StepCosts(trained_s=measure_step_cost_s(), served_s=measure_served_step_cost_s())
    costs = {"step_cost_s": measured.trained_s, "served_step_cost_s": measured.served_s}
    note = {"schema": SCHEMA, **_host(), **costs, "pairs": PAIRS, "steps": STEPS}
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        draft.write_text(json.dumps(note, indent=2))
        os.replace(draft, path)
    except OSError:
        draft.unlink(missing_ok=True)
    return measured


def measure_step_cost_s(pairs: int = PAIRS, steps: int = STEPS) -> float:
    """Median over interleaved pairs of (harness loop - bare loop) / steps, seconds; at least 0."""
    plan = TrainPlan(schedule=Schedule(first=steps, every=steps), cap_samples=steps, target=None)

    def harness() -> None:
        train(NullTask(), NullDevice(), plan, _Silence(), _Silence())

    def bare() -> None:
        task = NullTask()
        for _ in range(steps):
            task.train_step()

    return _median_cost_s(harness, bare, pairs, steps)


def measure_served_step_cost_s(pairs: int = PAIRS, steps: int = STEPS) -> float:
    """Likewise of the loop around a served model, from the issue of a request to the record of its answer."""
    plan = LoadPlan(
        scenario="single-stream", minimum_ns=1, minimum_queries=steps, samples_per_query=1, deadline_ns=10**15
    )

    def harness() -> None:
        generate(NullServe(), plan, Ledger(), _Silence(), time.monotonic_ns())

    def bare() -> None:
        task = NullServe()
        for index in range(steps):
            task.admit([index])
            task.step()

    return _median_cost_s(harness, bare, pairs, steps)


def _median_cost_s(harness: Callable[[], None], bare: Callable[[], None], pairs: int, steps: int) -> float:
    costs = [(_seconds(harness) - _seconds(bare)) / steps for _ in range(pairs)]
    return max(statistics.median(costs), 0.0)


def _seconds(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _stored(path: Path) -> StepCosts | None:
    try:
        note = json.loads(path.read_text())
        costs = StepCosts(trained_s=float(note["step_cost_s"]), served_s=float(note["served_step_cost_s"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    same = all(note.get(name) == value for name, value in _host().items())
    return costs if same and note.get("schema") == SCHEMA else None


def _host() -> dict[str, str]:
    return {
        "oildrop": version("oildrop"),
        "python": platform.python_version(),
        "machine": platform.processor() or platform.machine(),
    }
