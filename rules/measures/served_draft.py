"""What a draft's proposals were worth: how many stood, and how many tokens one look of the served model brought.

Tokens that came in one step share a time stamp. So the table of requests tells what stood: a token with no time since
the one before it was proposed, any other after the first is the served model's own. What fell is in no row; how many
were proposed is the log's word.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from oildrop.rules import keys
from oildrop.rules.case import Case
from oildrop.rules.measures.making import absent, present
from oildrop.rules.records import Metric
from oildrop.rules.served import Served

FORMULAS = {
    "draft_acceptance_rate": "draft_acceptance_rate/1",
    "draft_acceptance_length": "draft_acceptance_length/1",
}


DRAFT = "execution.draft"


@dataclass(frozen=True, kw_only=True)
class DraftCounts:
    """Counts of the log while the clock ran: looks of the served model at a request, tokens proposed and accepted."""

    verified: int
    proposed: int
    accepted: int


def draft_counts(case: Case) -> DraftCounts | None:
    """The counts of the log; None where one is missing."""
    event = case.evidence.last(keys.SERVED)
    meta = {} if event is None else event.meta
    found = [meta.get(f"draft_{name}") for name in ("verified", "proposed", "accepted")]
    counts = [each for each in found if isinstance(each, int) and not isinstance(each, bool)]
    return DraftCounts(verified=counts[0], proposed=counts[1], accepted=counts[2]) if len(counts) == 3 else None


def accepted_in(served: Served) -> int:
    """Tokens of the table that came in one step with the token before them."""
    return sum(gaps.count(0) for gaps in served.table.gaps_ns)


def verified_in(served: Served) -> int:
    """Steps of the table that brought a request tokens after its first: each began with a time since the last."""
    return sum(len(gaps) - gaps.count(0) for gaps in served.table.gaps_ns)


def draft_metrics(case: Case) -> Iterator[Metric]:
    """`draft_acceptance_rate` and `draft_acceptance_length`."""
    if not case.evidence.spec.settings.get(DRAFT):
        reason = "no draft is declared: each decode step brings a request one token"
        for name, formula in FORMULAS.items():
            yield absent(name, reason, formula=formula, scope="run", status="not_applicable")
        return
    yield _rate(case)
    yield _length(case)


def _rate(case: Case) -> Metric:
    name, counts, served = "draft_acceptance_rate", draft_counts(case), case.served
    if counts is None or served is None:
        reason = "the log does not say how many tokens the draft proposed"
        return absent(name, reason, formula=FORMULAS[name], scope="run")
    if counts.proposed < 1:
        return absent(name, "the draft proposed nothing: answers were too short", formula=FORMULAS[name], scope="run")
    rate = accepted_in(served) / counts.proposed
    return present(name, rate, formula=FORMULAS[name], scope="run", sample_count=counts.proposed)


def _length(case: Case) -> Metric:
    name, served = "draft_acceptance_length", case.served
    steps = 0 if served is None else verified_in(served)
    if served is None or steps < 1:
        return absent(name, "no request brought a token after its first", formula=FORMULAS[name], scope="run")
    length = (accepted_in(served) + steps) / steps
    return present(name, length, formula=FORMULAS[name], scope="run", sample_count=steps)
