"""How a served run ended, as the judge's own rule sees its requests and answers. Pure."""

from __future__ import annotations

from oildrop.harness.load.stops import DEADLINE, DRAIN, MINIMUM, OVERFLOW
from oildrop.harness.phases import End
from oildrop.rules import keys
from oildrop.rules.case import Case
from oildrop.rules.events import Event
from oildrop.rules.evidence import AnswerTable, Evidence, RequestTable
from oildrop.rules.loading import load_rulebook
from oildrop.rules.records import RunSpec
from oildrop.rules.verdict_served import served_ending
from oildrop.workloads.served_protocols import Assessment

GIVEN_UP = {
    DEADLINE: "the deadline was near before the scenario's minima were reached",
    OVERFLOW: "more requests waited than any system has that keeps the bounds at this rate",
    DRAIN: "requests were still unanswered long after the last one was issued",
}


def answers_of(assessment: Assessment) -> AnswerTable:
    """The assessment's columns as evidence."""
    columns = {name: getattr(assessment, name) for name in AnswerTable.__dataclass_fields__}
    return AnswerTable(**{name: tuple(each.tolist()) for name, each in columns.items() if each is not None})


def end_of(spec: RunSpec, requests: RequestTable, answers: AnswerTable | None, stopped_by: str) -> End:
    """The outcome to claim; `answers` are None where nobody can assess them."""
    status = "success" if stopped_by == MINIMUM else "aborted"
    stop = Event(seq=0, t_ns=0, utc="", proc="worker-0", key=keys.RUN_STOP, meta={"status": status})
    evidence = Evidence(spec=spec, system=None, events=(stop,), requests=requests, answers=answers)
    verdict = served_ending(Case(evidence, load_rulebook()))
    if verdict is not None:
        return End(claim=verdict.outcome, reason=verdict.reason)
    return End(claim="timeout", reason=f"{GIVEN_UP[stopped_by]}; {requests.outcome.count('unfinished')} unanswered")
