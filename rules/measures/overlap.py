"""Rates, latency and energy while two runs shared a device, and the energies that are then nobody's own.

Dims `window: overlap` tell these from the run's headlines, which cover its whole clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from oildrop.rules.case import Case
from oildrop.rules.formulas.colocation import Window, amount_inside, inside
from oildrop.rules.formulas.latency import PERCENTILES, percentile
from oildrop.rules.formulas.throughput import rate, rate_half_width
from oildrop.rules.measures.energy import widest
from oildrop.rules.measures.making import absent, present
from oildrop.rules.measures.speed import NO_BLOCK
from oildrop.rules.overlap import overlap_of
from oildrop.rules.records import Metric

DIMS = {"window": "overlap"}
RATE, REQUESTS, LATENCY = "overlap_throughput/1", "overlap_requests/1", "overlap_latency_percentile/1"
ENERGY, ENERGY_PER_TOKEN = "overlap_energy/1", "overlap_energy_per_token/1"
P99 = "latency_s_p99"


def beside_another(case: Case, metrics: Iterable[Metric]) -> Iterator[Metric]:
    """The metrics of a run that shared its device: its own, energies left out, then those of the overlap."""
    beside = case.evidence.spec.beside_run_id
    for metric in metrics:
        yield _withheld(metric, str(beside)) if _is_energy(metric) else metric
    window = overlap_of(case)
    trains = case.evidence.spec.scenario is None
    yield from _trained(case, window) if trains else _served(case, window)
    yield from _energy(case, window, trains=trains)


def _is_energy(metric: Metric) -> bool:
    return metric.name.startswith("energy_") or metric.name.endswith("power_w")


def _withheld(metric: Metric, beside: str) -> Metric:
    reason = f"shared: a meter of the device covers run {beside} too, and nobody can say which drew what"
    return absent(metric.name, reason, formula=metric.formula, scope=metric.scope, dims=metric.dims)


def _trained(case: Case, window: Window | str) -> Iterator[Metric]:
    """Rates over the blocks that lie wholly in the overlap."""
    blocks = [
        block
        for block in case.timeline.blocks
        if not isinstance(window, str) and inside((block.start_ns, block.stop_ns), window)
    ]
    durations = [block.duration_s for block in blocks]
    reason = window if isinstance(window, str) else _why_no_block(case, window)
    for name, amounts in (
        ("train_tokens_per_s", [float(block.tokens) for block in blocks]),
        ("train_samples_per_s", [float(block.samples) for block in blocks]),
    ):
        if not sum(durations):
            yield absent(name, reason, formula=RATE, scope="run", dims=DIMS)
            continue
        yield present(
            name, rate(amounts, durations), formula=RATE, scope="run", uncertainty=rate_half_width(amounts, durations),
            sample_count=len(blocks), window_ns=(blocks[0].start_ns, blocks[-1].stop_ns), dims=DIMS,
        )  # fmt: skip


def _why_no_block(case: Case, window: Window) -> str:
    """Why no block of steps lies wholly in the overlap, and what would put one there."""
    durations, overlap_s = [block.duration_s for block in case.timeline.blocks], (window[1] - window[0]) / 1e9
    if not durations:
        return NO_BLOCK
    if len(durations) == 1:
        return (
            f"all steps are one block of {durations[0]:.2f} s, which does not lie wholly in the overlap of "
            f"{overlap_s:.2f} s; take a larger tier, whose steps are several blocks"
        )
    return (
        f"none of the {len(durations)} blocks of steps ({min(durations):.2f} s and longer) lies wholly in the overlap "
        f"of {overlap_s:.2f} s; make the run beside it longer"
    )


def _served(case: Case, window: Window | str) -> Iterator[Metric]:
    """Requests that ended in the overlap, over its length; the latency of those that were due in it."""
    served, start_ns = case.served, case.timeline.run_start_ns
    if isinstance(window, str) or served is None or start_ns is None:
        reason = window if isinstance(window, str) else "the run left no table of its requests"
        yield absent("requests_per_s", reason, formula=REQUESTS, scope="run", dims=DIMS)
        yield absent(P99, reason, formula=LATENCY, scope="run", dims=DIMS)
        return
    bounds = (window[0] - start_ns, window[1] - start_ns)
    ended = sum(span is not None and bounds[0] <= span[1] <= bounds[1] for span in served.spans_ns)
    yield present(
        "requests_per_s", ended / ((window[1] - window[0]) / 1e9), formula=REQUESTS, scope="run", sample_count=ended,
        window_ns=window, dims=DIMS,
    )  # fmt: skip
    rows = zip(served.table.scheduled_ns, served.request_latencies_s, strict=True)
    due = sorted(latency_s for due_ns, latency_s in rows if bounds[0] <= due_ns < bounds[1])
    value_s = percentile(due, PERCENTILES["p99"]) if due and not served.by_query else math.inf
    if math.isfinite(value_s):
        yield present(
            P99, value_s, formula=LATENCY, scope="run", sample_count=len(due), window_ns=window, dims=DIMS
        )  # fmt: skip
        return
    reason = "no request was due in the overlap" if not due else "the p99 falls on a request that failed"
    reason = "a latency here is a query's, of several requests" if served.by_query else reason
    yield absent(P99, reason, formula=LATENCY, scope="run", dims=DIMS)


def _energy(case: Case, window: Window | str, *, trains: bool) -> Iterator[Metric]:
    """What the device drew while both ran, both in it; and over the training tokens of that time."""
    found = window if isinstance(window, str) else widest(case, window)
    if isinstance(found, str) or isinstance(window, str) or found.energy_j is None:
        reason = found if isinstance(found, str) else found.reason or "not measured"
        yield absent("energy_j", reason, formula=ENERGY, scope="run", dims=DIMS)
        if trains:
            yield absent("energy_per_token_j", reason, formula=ENERGY_PER_TOKEN, scope="run", dims=DIMS)
        return
    yield present(
        "energy_j", found.energy_j, formula=ENERGY, scope=found.scope, status=found.status("measured"),
        uncertainty=found.uncertainty_j, sample_count=found.sample_count, window_ns=window, dims=DIMS,
    )  # fmt: skip
    if not trains:
        return
    blocks = case.timeline.blocks
    windows = [(block.start_ns, block.stop_ns) for block in blocks]
    tokens = amount_inside([block.tokens for block in blocks], windows, window)
    if tokens < 1:
        reason = "no training token was counted in the overlap"
        yield absent("energy_per_token_j", reason, formula=ENERGY_PER_TOKEN, scope=found.scope, dims=DIMS)
        return
    yield present(
        "energy_per_token_j", found.energy_j / tokens, formula=ENERGY_PER_TOKEN, scope=found.scope,
        status=found.status("derived"), sample_count=round(tokens), window_ns=window, dims=DIMS,
    )  # fmt: skip
