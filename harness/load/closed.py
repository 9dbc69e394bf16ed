"""Queries that wait for the ones before: a single stream, one of several requests a query, a closed loop of many."""

from __future__ import annotations

from collections.abc import Callable

from oildrop.harness.load.ledger import Ledger
from oildrop.harness.load.plan import LoadPlan
from oildrop.harness.load.progress import Progress
from oildrop.harness.load.stops import DEADLINE, MINIMUM
from oildrop.workloads.served_protocols import ServeTask


def closed_loop(
    task: ServeTask, plan: LoadPlan, ledger: Ledger, progress: Progress, clock: Callable[[], int], start_ns: int
) -> str:
    """Issue a query whenever there is room for one, until both minima are kept; then await what is in flight.

    A query is due at the instant at which its room was made; what the generator needs to issue it counts against the
    answer. Returns why it stopped.
    """
    admit, step, issue, record = task.admit, task.step, ledger.issue, ledger.record
    each, room = plan.samples_per_query, plan.streams * plan.samples_per_query
    minimum_ns, least, deadline_ns = plan.minimum_ns, plan.minimum_queries * plan.samples_per_query, plan.deadline_ns
    in_flight = now_ns = 0
    while True:
        count = (room - in_flight) // each * each
        if now_ns >= minimum_ns:
            count = min(count, max(least - ledger.issued, 0))
        if count:
            admit(issue(count, now_ns, clock() - start_ns))
            in_flight += count
        elif not in_flight:
            return MINIMUM
        emissions = step()
        now_ns = clock() - start_ns
        in_flight -= record(emissions, now_ns)
        if emissions:
            progress.progress += 1
            progress.answered = ledger.answered
        if now_ns > deadline_ns:
            return DEADLINE
