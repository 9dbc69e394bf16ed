"""Carry out a measurement of two at once: each alone, both together, every run kept whatever happens."""

from __future__ import annotations

import tempfile
import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from oildrop.harness.beside import Together
from oildrop.harness.calibration import StepCosts, step_costs
from oildrop.harness.ending import Ending
from oildrop.harness.interrupts import Interrupts
from oildrop.harness.job import Job
from oildrop.harness.reserve import keep_reserve
from oildrop.harness.supervisor import supervise
from oildrop.results.ingest import ingest_runs
from oildrop.results.layout import StoreLayout
from oildrop.results.liveness import RunLock
from oildrop.results.rows import RunRow
from oildrop.rules.errors import StoreError
from oildrop.suite.colocate import ColocationPlan, Pair
from oildrop.suite.execute import ExecutionReport, Progress, registered, run_one

FAILED = Ending(outcome="crash", reason="its supervisor failed", evidence={})


def execute_colocation(planned: ColocationPlan, layout: StoreLayout, progress: Progress) -> ExecutionReport:
    """Every run of the plan in its order; ends early when somebody asks for it, or where a workload cannot run here.

    Raises:
        StoreError: The store cannot be made or a run cannot be registered.
    """
    layout.ensure()
    costs = step_costs(layout.calibration)
    rows: list[RunRow] = []
    for pair in planned.pairs:
        for step in pair.steps:
            made, stopped = _made(planned, pair, step, layout, progress, costs)
            rows += made
            if stopped:
                return ExecutionReport(rows=rows, cancelled=True)
            if any(row.outcome == "unsupported" for row in made):
                progress.message("not tried again: every run would end the same way")
                return ExecutionReport(rows=rows, cancelled=False)
    return ExecutionReport(rows=rows, cancelled=False)


def _made(
    planned: ColocationPlan, pair: Pair, step: str, layout: StoreLayout, progress: Progress, costs: StepCosts | None
) -> tuple[list[RunRow], bool]:
    """Rows of one part of a pair, and whether somebody stopped it."""
    total = len(planned.pairs)
    if step == "both":
        progress.message(f"pair {pair.number} of {total}: both together")
        rows, stopped = run_two(planned, pair, layout, costs)
    else:
        one, spec = (planned.train, pair.train_alone) if step == "train" else (planned.serve, pair.serve_alone)
        progress.message(f"pair {pair.number} of {total}: {spec.benchmark} alone")
        progress.set_started(one)
        progress.run_started(spec, pair.number, total)
        row, ending = run_one(one, spec, layout, progress, costs)
        rows, stopped = [row], ending.outcome == "cancelled"
    for row in rows:
        progress.run_started(row.spec, pair.number, total)
        progress.run_ended(row)
    return rows, stopped


def run_two(
    planned: ColocationPlan, pair: Pair, layout: StoreLayout, costs: StepCosts | None
) -> tuple[list[RunRow], bool]:
    """Training and serving at once, from their registration to their rows, the training first; and whether stopped.

    Raises:
        StoreError: The disk is too full to register a run, or the index cannot be written; then the bundles stand.
    """
    if not keep_reserve(layout.reserve):
        raise StoreError(f"the disk of {layout.root} is full; free at least 64 MiB and start again")
    specs = ((planned.train, pair.train_beside), (planned.serve, pair.serve_beside))
    with ExitStack() as stack, Interrupts() as interrupts:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="oildrop-meet-", ignore_cleanup_errors=True))
        locks = [stack.enter_context(RunLock(layout.lock_file(spec.run_id))) for _, spec in specs]
        jobs = [registered(one, spec, layout, costs) for one, spec in specs]
        _supervise(jobs, Together(Path(folder), interrupts))
        for lock in locks:
            lock.remove()
    return ingest_runs(layout, [job.writer.path for job in jobs]), interrupts.asked_by is not None


def _supervise(jobs: list[Job], together: Together) -> None:
    """Both jobs at once, a thread each; the first error of a supervisor is raised once both have ended."""
    ids = [job.spec.run_id for job in jobs]
    sides = [together.side(*pair) for pair in (ids, ids[::-1])]
    errors: list[BaseException] = []

    def follow(place: int) -> None:
        ending = FAILED
        try:
            ending = supervise(replace(jobs[place], beside=sides[place]), _Quiet())
        except BaseException as error:
            errors.append(error)
        finally:
            sides[place].ended(ending)

    threads = [threading.Thread(target=follow, args=(place,), name=f"supervisor-{place}") for place in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


class _Quiet:
    """Nobody is told how two at once get on: a screen would wake up inside timed steps of both."""

    def phase(self, name: str) -> None:
        """Not told."""

    def evaluated(self, samples: int, quality: float | None) -> None:
        """Not told."""

    def served(self, answered: int) -> None:
        """Not told."""
