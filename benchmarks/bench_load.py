"""The load generator against MLCommons', both around a system in Python that does nothing, in interleaved pairs."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from loadgen_mlcommons import TheirLoad
from pairs import interleaved, mean_row, ratio_row
from table import Row, Skipped

from oildrop.harness.load.generate import generate
from oildrop.harness.load.heap import quiet_heap
from oildrop.harness.load.increments import table_of
from oildrop.harness.load.ledger import Ledger
from oildrop.harness.load.plan import LoadPlan, load_plan
from oildrop.harness.null_serve import NullServe
from oildrop.rules.rulebook_parts import Bounds, Terms

SECONDS = 1.0
PAIRS = 10
RATE_PER_S = 5000.0
NAMES = ("single-stream queries/s", "offline samples/s", f"server at {RATE_PER_S:g} queries/s, p99 dispatch lateness")


class Silence:
    """Nobody is told."""

    progress = 0
    answered: int | None = None


def main() -> list[Row | Skipped]:
    """Rates that reach half of theirs, and a lateness that is not over theirs."""
    try:
        theirs = TheirLoad(SECONDS)
    except ImportError:
        return [Skipped(name=f"{name} to mlcommons-loadgen's", reason="it is not installed") for name in NAMES]
    rows: list[Row | Skipped] = []
    for name, ours_per_s, theirs_per_s in (
        (NAMES[0], lambda: rate_of("single-stream"), theirs.single_stream_per_s),
        (NAMES[1], lambda: rate_of("offline"), theirs.offline_per_s),
    ):
        rows += compared(name, "1/s", ours_per_s, theirs_per_s, at_least=0.5)
    return rows + compared(NAMES[2], "s", lateness_p99_s, lambda: theirs.lateness_p99_s(RATE_PER_S), at_most=1.0)


def compared(
    name: str,
    unit: str,
    ours: Callable[[], float],
    theirs: Callable[[], float],
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> list[Row | Skipped]:
    """Both figures, and the ratio that has to keep a bound."""
    values = interleaved(ours, theirs, pairs=PAIRS)
    return [
        mean_row(name, values[0], unit),
        mean_row(f"{name}, mlcommons-loadgen", values[1], unit),
        ratio_row(f"{name} to mlcommons-loadgen's", *values, at_least=at_least, at_most=at_most),
    ]


def rate_of(scenario: str) -> float:
    """Requests a second of the whole run."""
    task, plan, ledger = NullServe(), plan_of(scenario), Ledger()
    with quiet_heap():
        start_ns = time.monotonic_ns()
        generate(task, plan, ledger, Silence(), start_ns)
        return ledger.answered / (time.monotonic_ns() - start_ns) * 1e9


def lateness_p99_s() -> float:
    """99th percentile of the time from a query's due time until it is released, seconds."""
    task, plan, ledger = NullServe(), plan_of("server"), Ledger()
    with quiet_heap():
        generate(task, plan, ledger, Silence(), time.monotonic_ns())
    table = table_of(ledger, task.size)
    lateness_ns = np.subtract(table.issued_ns, table.scheduled_ns)
    return float(np.percentile(lateness_ns, 99, method="higher")) / 1e9


def plan_of(scenario: str) -> LoadPlan:
    """One second of it."""
    return load_plan(
        scenario,
        Terms(minimum_s=SECONDS, minimum_queries=64, percentile=0.99, bounds=Bounds(latency_s=1.0)),
        seed=time.monotonic_ns() % 2**32,
        rate_per_s=RATE_PER_S if scenario == "server" else None,
        concurrency=1,
        deadline_s=60.0,
        output_tokens=lambda index: 1,
    )
