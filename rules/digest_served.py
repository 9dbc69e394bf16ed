"""What a page draws of a served run: how long answers took, when the slow ones came, and what failed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from oildrop.rules import keys
from oildrop.rules.case import Case
from oildrop.rules.records import Record
from oildrop.rules.rulebook_parts import Bounds
from oildrop.rules.served import Served

QUANTILES = 100
"""Points of a distribution: one for each hundredth."""

BINS = 120
"""Stretches of time of which the slowest answer each is kept."""


class Distribution(Record):
    """How a time is spread: `values_s[k]` is what k + 1 of `QUANTILES` equal parts hold; failed requests come last.

    It ends where a failed request would be: such have no time.
    """

    name: str
    values_s: tuple[float, ...]


class ServedDigest(Record):
    """Everything of a served run that pages show beside metrics.

    Attributes:
        requests: How many were issued.
        failures: Those of them that failed, by outcome.
        stopped_by: Why the generator stopped; None where it did not say.
        bounds: What the answers were held to.
        percentile: Share of the answers that must hold them; None where the rulebook is not known.
        slowest_at_s: Scheduled time since run_start of each stretch's slowest answer, ascending.
        slowest_s: Its latency.
        failed_at_s: Scheduled times of the stretches in which a request failed.
    """

    requests: int
    failures: dict[str, int] = {}
    stopped_by: str | None = None
    bounds: Bounds = Bounds()
    percentile: float | None = None
    distributions: tuple[Distribution, ...] = ()
    slowest_at_s: tuple[float, ...] = ()
    slowest_s: tuple[float, ...] = ()
    failed_at_s: tuple[float, ...] = ()


def digest_served(case: Case) -> ServedDigest | None:
    """The digest of a run's requests; None where no table of them was kept."""
    served, terms = case.served, case.terms
    if served is None or not served.count:
        return None
    stopped = case.evidence.last(keys.SERVED)
    why = stopped.meta.get("stopped_by") if stopped else None
    at_s, latency_s, failed_s = _slowest(served)
    return ServedDigest(
        requests=served.count,
        failures=served.failures,
        stopped_by=why if isinstance(why, str) else None,
        bounds=terms.bounds if terms else Bounds(),
        percentile=terms.percentile if terms else None,
        distributions=_distributions(served),
        slowest_at_s=at_s,
        slowest_s=latency_s,
        failed_at_s=failed_s,
    )


def _distributions(served: Served) -> tuple[Distribution, ...]:
    times: list[tuple[str, Sequence[float]]] = [("latency_s", served.latencies_s)]
    if served.has_tokens:
        tpots = [value for value in served.tpots_s if value is not None]
        times += [("ttft_s", served.ttfts_s), ("tpot_s", tpots), ("itl_s", served.gaps_s)]
    found = [Distribution(name=name, values_s=quantiles(values)) for name, values in times if values]
    return tuple(each for each in found if each.values_s)


def quantiles(values: Sequence[float]) -> tuple[float, ...]:
    """The value that each hundredth holds, by nearest rank; it ends before the first infinite one."""
    ordered = sorted(values)
    picked = [ordered[-(-len(ordered) * part // QUANTILES) - 1] for part in range(1, QUANTILES + 1)]
    return tuple(value for value in picked if math.isfinite(value))


def _slowest(served: Served) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Of each stretch of the schedule the slowest answer's time and latency, and where requests failed."""
    scheduled_s = [scheduled / 1e9 for scheduled in served.table.scheduled_ns]
    width_s = max(scheduled_s) / BINS or 1.0
    slowest: dict[int, tuple[float, float]] = {}
    failed: dict[int, float] = {}
    for at_s, latency_s in zip(scheduled_s, served.request_latencies_s, strict=True):
        stretch = min(int(at_s / width_s), BINS - 1)
        if not math.isfinite(latency_s):
            failed.setdefault(stretch, at_s)
        elif stretch not in slowest or latency_s > slowest[stretch][1]:
            slowest[stretch] = (at_s, latency_s)
    points = [slowest[stretch] for stretch in sorted(slowest)]
    return (
        tuple(at_s for at_s, _ in points),
        tuple(latency_s for _, latency_s in points),
        tuple(failed[stretch] for stretch in sorted(failed)),
    )
