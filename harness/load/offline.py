"""All requests at once: more wait at any time than a system could take, until the time is over."""

from __future__ import annotations

from collections.abc import Callable

from oildrop.harness.load.ledger import Ledger
from oildrop.harness.load.plan import LoadPlan
from oildrop.harness.load.progress import Progress
from oildrop.harness.load.stops import DEADLINE, MINIMUM
from oildrop.workloads.served_protocols import ServeTask

GROWTH = 8
"""A block is a share of all that was issued before: at most so much of a run is its end, in which batches run empty."""


def offline(
    task: ServeTask, plan: LoadPlan, ledger: Ledger, progress: Progress, clock: Callable[[], int], start_ns: int
) -> str:
    """Issue the least number of queries at the start, and another block whenever fewer than a block are unanswered.

    How many requests last for the minimum time is not known beforehand, so that they are not all issued at the start; a
    request of a later block is due when its block is issued. Returns why it stopped.
    """
    admit, step, issue, record = task.admit, task.step, ledger.issue, ledger.record
    each, least = plan.samples_per_query, plan.minimum_queries * plan.samples_per_query
    minimum_ns, deadline_ns = plan.minimum_ns, plan.deadline_ns
    in_flight = now_ns = 0
    block = least
    while True:
        if in_flight < block and now_ns < minimum_ns:
            due_ns = clock() - start_ns
            admit(issue(block, due_ns, due_ns))
            in_flight += block
            block = max(least, ledger.issued // GROWTH // each * each)
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
