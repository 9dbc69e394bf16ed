"""What the harness itself costs a step, measured on this host and kept in the store.

The timed loop is run with a task that does nothing, against a bare loop over the same call; the
difference a step is the harness's cost. Pairs are interleaved, and the median pair counts.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from oildrop.harness.loop import TrainPlan, train
from oildrop.harness.null_task import NullDevice, NullTask
from oildrop.rules.rulebook import Schedule

SCHEMA = "oildrop.calibration/1"
PAIRS = 9
STEPS = 2000


class _Silence:
    """Takes the loop's events and counts its steps, keeping nothing."""

    progress = 0

    def emit(
        self, key: str, value: Any = None, meta: dict[str, Any] | None = None, *, at_ns: int | None = None
    ) -> None:
        """Nothing is kept."""

    def flush(self) -> None:
        """Nothing is handed over."""


def step_cost_s(path: Path) -> float | None:
    """The harness's cost a step in seconds: as stored for this host and release, else measured now and stored.

    None when it cannot be stored because the disk is full or read-only; the metric is then missing with a reason.
    """
    stored = _stored(path)
    if stored is not None:
        return stored
    measured = measure_step_cost_s()
    note = {"schema": SCHEMA, **_host(), "step_cost_s": measured, "pairs": PAIRS, "steps": STEPS}
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
    costs = []
    for _ in range(pairs):
        task = NullTask()
        start = time.perf_counter()
        train(task, NullDevice(), plan, _Silence(), _Silence())
        harness_s = time.perf_counter() - start
        start = time.perf_counter()
        for _ in range(steps):
            task.train_step()
        costs.append((harness_s - (time.perf_counter() - start)) / steps)
    return max(statistics.median(costs), 0.0)


def _stored(path: Path) -> float | None:
    try:
        note = json.loads(path.read_text())
        cost = note["step_cost_s"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    same = all(note.get(name) == value for name, value in _host().items())
    return float(cost) if same and note.get("schema") == SCHEMA else None


def _host() -> dict[str, str]:
    return {
        "oildrop": version("oildrop"),
        "python": platform.python_version(),
        "machine": platform.processor() or platform.machine(),
    }
