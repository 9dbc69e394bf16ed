"""Drives a served model by a plan: which scenario is issued how."""

from __future__ import annotations

import time
from collections.abc import Callable

from oildrop.harness.load.closed import closed_loop
from oildrop.harness.load.issuer import Issuer
from oildrop.harness.load.ledger import Ledger
from oildrop.harness.load.offline import offline
from oildrop.harness.load.open import open_loop
from oildrop.harness.load.plan import ARRIVALS, LoadPlan
from oildrop.harness.load.progress import Progress
from oildrop.workloads.served_protocols import ServeTask


def generate(
    task: ServeTask,
    plan: LoadPlan,
    ledger: Ledger,
    progress: Progress,
    start_ns: int,
    clock: Callable[[], int] = time.monotonic_ns,
) -> str:
    """Issue the plan's queries from `start_ns` on and keep what comes back in `ledger`; returns why it stopped.

    Whatever the model raises is raised; the ledger then holds what came before.
    """
    if plan.scenario == "offline":
        return offline(task, plan, ledger, progress, clock, start_ns)
    if plan.scenario not in ARRIVALS:
        return closed_loop(task, plan, ledger, progress, clock, start_ns)
    with Issuer(plan.schedule_ns, start_ns, clock) as issuer:
        ledger.follow(plan.schedule_ns, issuer)
        try:
            return open_loop(task, plan, ledger, issuer, progress, clock, start_ns)
        finally:
            ledger.issued = issuer.released * plan.samples_per_query
