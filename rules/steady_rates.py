"""The rates of a run of which none should change while its clock runs."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from itertools import pairwise

from oildrop.rules.case import Case
from oildrop.rules.served import OK

MOST_RATES = 60
CLOSED_LOOPS = ("single-stream", "multi-stream", "concurrency")
"""Scenarios in which the system alone decides how long an answer takes; elsewhere arrivals and queues change it too."""


def rates_of(case: Case) -> Iterator[tuple[str, list[float]]]:
    """What each series of rates is of, and its values in order of time."""
    if case.served is None:
        yield "training", [b.samples / b.duration_s for b in case.timeline.blocks if b.samples and b.duration_s > 0]
    elif case.evidence.spec.scenario in CLOSED_LOOPS:
        yield "the rate of answering", _answer_rates(case)


def _answer_rates(case: Case) -> list[float]:
    """Output tokens a second of answers in order of issue: medians of up to 60 groups alike in size.

    The first and last answers of all streams are left out: they begin together and end alone.
    """
    table = case.evidence.requests
    if table is None:
        return []
    streams = 1
    if case.evidence.spec.scenario == "concurrency":
        streams = int(case.evidence.spec.settings["scenario.concurrency"])
    rates = [
        tokens / (last - issued) * 1e9
        for issued, last, tokens, outcome in zip(
            table.issued_ns, table.last_ns, table.output_tokens, table.outcome, strict=True
        )
        if outcome == OK and last is not None and last > issued and tokens
    ][streams:-streams]
    groups = min(MOST_RATES, len(rates))
    edges = [len(rates) * group // groups for group in range(groups + 1)] if groups else []
    return [statistics.median(rates[a:b]) for a, b in pairwise(edges)]
