"""A toy run that shares its device with another."""

from __future__ import annotations

from typing import Any

from oildrop.rules import keys
from oildrop.rules.identity import workload_id
from oildrop.rules.records import Colocation

OTHER = "20261122-000000-000000-bbbbbb"
SECOND = 1_000_000_000


def put_beside(run: Any, start_s: float | None, stop_s: float | None, outcome: str | None = None) -> None:
    """Declare another run beside `run`, whose clock ran between two instants on `run`'s own."""
    spec = run.spec
    colocation = Colocation(
        experiment_id=spec.run_id, pair=1, beside_run_id=OTHER, beside_workload_id="w" * 16, beside="toy nano"
    )
    workload = workload_id(spec.benchmark_sha256, spec.tier, spec.division, spec.settings, "w" * 16)
    run.spec = spec.model_copy(update={"colocation": colocation, "workload_id": workload})
    marks = {"run_start_ns": start_s, "run_stop_ns": stop_s}
    meta = {name: None if at_s is None else round(at_s * SECOND) for name, at_s in marks.items()}
    run.add(keys.OTHER_RUN, 0.9, OTHER, proc="supervisor", device="cpu")
    end_s = run.find(keys.OUTCOME)["t_ns"] / SECOND
    run.add(keys.BESIDE, end_s - 0.05, OTHER, proc="supervisor", outcome=outcome, clock_bound_ns=1, **meta)
    run.rows.sort(key=lambda row: row["t_ns"])


def short_overlap(run: Any) -> None:
    """The other's clock stopped after one second."""
    put_beside(run, 0.5, 2.0, "ok")


def slower(run: Any, factor: int) -> None:
    """Everything takes `factor` times as long."""
    for row in run.rows:
        row["t_ns"] *= factor
        if "received_ns" in row["meta"]:
            row["meta"]["received_ns"] = row["t_ns"] + 1_000_000
