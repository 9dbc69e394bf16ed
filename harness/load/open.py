"""Queries that arrive by a schedule, whether the ones before were answered or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from oildrop.harness.load.ledger import Ledger
from oildrop.harness.load.plan import LoadPlan
from oildrop.harness.load.progress import Progress
from oildrop.harness.load.stops import DEADLINE, DRAIN, MINIMUM, OVERFLOW
from oildrop.workloads.served_protocols import ServeTask

IDLE_S = 0.25
"""Longest wait for an arrival before the generator shows that it lives."""


class Arrivals(Protocol):
    """Who releases queries at their time."""

    released: int

    def wait(self, seen: int, seconds: float) -> None:
        """Return once more than `seen` queries were released, or after `seconds`."""


def open_loop(
    task: ServeTask,
    plan: LoadPlan,
    ledger: Ledger,
    arrivals: Arrivals,
    progress: Progress,
    clock: Callable[[], int],
    start_ns: int,
) -> str:
    """Hand released queries to the model and let it work, until the whole schedule is answered.

    Returns why it stopped.
    """
    admit, step, record = task.admit, task.step, ledger.record
    each, total = plan.samples_per_query, len(plan.schedule_ns)
    backlog = plan.backlog_limit if plan.backlog_limit is not None else total * each
    drained_ns = plan.schedule_ns[-1] + plan.drain_ns
    admitted = in_flight = 0
    while True:
        released = arrivals.released
        if released > admitted:
            admit(list(range(admitted * each, released * each)))
            in_flight += (released - admitted) * each
            admitted = released
            if in_flight > backlog:
                return OVERFLOW
        if in_flight:
            emissions = step()
            now_ns = clock() - start_ns
            in_flight -= record(emissions, now_ns)
            if emissions:
                progress.progress += 1
                progress.answered = ledger.answered
        elif admitted == total:
            return MINIMUM
        else:
            progress.progress += 1
            arrivals.wait(admitted, IDLE_S)
            now_ns = clock() - start_ns
        if now_ns > plan.deadline_ns:
            return DEADLINE
        if now_ns > drained_ns:
            return DRAIN
