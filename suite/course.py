"""Which run of a planned set comes next, given those that were made. Pure but for a new run's name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from oildrop.suite.naming import new_run_id
from oildrop.suite.search import Done, Search, Step, next_step

if TYPE_CHECKING:
    from oildrop.results.rows import RunRow
    from oildrop.rules.records import RunSpec
    from oildrop.suite.planning import PlannedSet


@dataclass(frozen=True, kw_only=True)
class Run:
    """The run to make, and its place: number `number` of at most `total` of its kind."""

    spec: RunSpec
    number: int
    total: int


def next_run(planned: PlannedSet, ran: Sequence[RunRow]) -> Run | None:
    """What follows the runs of the set that were made, in order; None when it is done.

    A set whose run ended `unsupported` is done: every other would end the same way.
    """
    if ran and ran[-1].outcome == "unsupported":
        return None
    if planned.search is not None:
        return _of_search(planned, planned.search, ran)
    if len(ran) == len(planned.specs):
        return None
    return Run(spec=planned.specs[len(ran)], number=len(ran) + 1, total=len(planned.specs))


def _of_search(planned: PlannedSet, search: Search, ran: Sequence[RunRow]) -> Run | None:
    done = [_done(row) for row in ran]
    step = next_step(search, done)
    if step is None:
        return None
    number = sum(one.step.kind == step.kind for one in done)
    total = search.most_probes if step.kind == "probe" else max(search.finals, number + 1)
    template = planned.specs[min(number, len(planned.specs) - 1)]
    first = ran[0].run_id if ran else None
    return Run(spec=spec_at(template, step, first), number=number + 1, total=total)


def _done(row: RunRow) -> Done:
    kind, rate = row.spec.kind, row.spec.rate_per_s
    if kind not in ("probe", "serve") or rate is None:
        raise ValueError(f"run {row.run_id} of kind {kind} at rate {rate} is no step of a search")
    return Done(step=Step(kind="probe" if kind == "probe" else "serve", rate_per_s=rate), outcome=row.outcome)


def spec_at(template: RunSpec, step: Step, first_run_id: str | None) -> RunSpec:
    """A run of a search; all of one search name its first run as their parent."""
    rate = ("--rate", f"{step.rate_per_s:.16g}")
    seeds = template.command.index("--seeds") if "--seeds" in template.command else len(template.command)
    command = (*template.command[:seeds], *rate, *template.command[seeds:])
    return template.model_copy(
        update={
            "run_id": new_run_id(),
            "kind": step.kind,
            "rate_per_s": step.rate_per_s,
            "parent_run_id": first_run_id,
            "command": command,
        }
    )
