"""What a page draws of a run, worked out once from its evidence: phases, curve, traces."""

from __future__ import annotations

import math
from itertools import pairwise

from oildrop.rules import keys
from oildrop.rules.case import Case
from oildrop.rules.digest_served import ServedDigest, digest_served
from oildrop.rules.evidence import Evidence, Series
from oildrop.rules.phases import PhaseSpan
from oildrop.rules.records import Record
from oildrop.rules.rulebook import Rulebook

TRACE_POINTS = 240
"""Most points kept of one trace; a longer one is thinned by keeping each bin's mean."""


class CurvePoint(Record):
    """Quality at one evaluation: after `samples` samples, `time_s` after run_start."""

    samples: int
    time_s: float | None
    quality: float | None


class Trace(Record):
    """One quantity over time; `time_s` counts from the run's start and `unit` is in `quantity`'s name."""

    meter: str
    quantity: str
    device: str
    scope: str
    time_s: tuple[float, ...]
    values: tuple[float, ...]


class MeterStatus(Record):
    """What one meter said of itself: whether it measured, and if not why."""

    name: str
    status: str
    reason: str | None
    scope: str | None
    method: str | None


class RunDigest(Record):
    """Everything of a run that pages show beside metrics and findings."""

    phases: tuple[PhaseSpan, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    target: float | None = None
    traces: tuple[Trace, ...] = ()
    meters: tuple[MeterStatus, ...] = ()
    served: ServedDigest | None = None


def digest_of(evidence: Evidence, rulebook: Rulebook) -> RunDigest:
    """Phases, curve, traces and meters of one run. Pure."""
    return digest_case(Case(evidence, rulebook))


def digest_case(case: Case) -> RunDigest:
    """As `digest_of`, over a case that others read too."""
    evidence = case.evidence
    timeline = case.timeline
    start_ns = timeline.run_start_ns
    return RunDigest(
        phases=timeline.phases,
        curve=tuple(
            CurvePoint(
                samples=mark.samples,
                time_s=(mark.stop_ns - start_ns) / 1e9 if start_ns is not None else None,
                quality=mark.quality if math.isfinite(mark.quality) else None,
            )
            for mark in timeline.evaluations
        ),
        target=case.target,
        traces=tuple(thin(series) for series in evidence.series),
        meters=_meters(evidence),
        served=digest_served(case),
    )


def thin(series: Series) -> Trace:
    """The series as a trace of at most TRACE_POINTS points, each the mean of its bin."""
    count = len(series.values)
    bins = min(count, TRACE_POINTS)
    edges = [count * k // bins for k in range(bins + 1)] if bins else [0]
    spans = list(pairwise(edges))
    return Trace(
        meter=series.meter,
        quantity=series.quantity,
        device=series.device,
        scope=series.scope,
        time_s=tuple(sum(series.t_ns[a:b]) / (b - a) / 1e9 for a, b in spans),
        values=tuple(math.fsum(series.values[a:b]) / (b - a) for a, b in spans),
    )


def _meters(evidence: Evidence) -> tuple[MeterStatus, ...]:
    """The newest word of each meter, in order of first appearance."""
    newest: dict[tuple[str, str], MeterStatus] = {}
    for event in evidence.all(keys.METER):
        fields = {name: event.meta.get(name) for name in ("reason", "scope", "method")}
        words = {name: str(value) if value is not None else None for name, value in fields.items()}
        status = str(event.meta.get("status"))
        newest[str(event.value), str(event.meta.get("device"))] = MeterStatus(
            name=str(event.value), status=status, **words
        )
    return tuple(newest.values())
