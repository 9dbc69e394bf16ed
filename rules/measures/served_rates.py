"""Rates of a served run: over wall time, of one request, within bounds; and how many requests failed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from oildrop.rules.case import Case
from oildrop.rules.formulas.latency import percentile
from oildrop.rules.measures.making import absent, present
from oildrop.rules.measures.served_cache import uncached_prefill
from oildrop.rules.measures.served_devices import devices_that_served
from oildrop.rules.measures.served_latency import NO_TABLE, NO_TOKENS
from oildrop.rules.prefix_cache import declares_cache
from oildrop.rules.records import Metric
from oildrop.rules.rulebook_parts import Bounds
from oildrop.rules.served import Served

FORMULAS = {
    "requests_per_s": "served_throughput/1",
    "output_tokens_per_s": "served_throughput/1",
    "output_tokens_per_s_per_device": "served_throughput_per_device/1",
    "output_tokens_per_s_per_user": "median_tpot_inverse/1",
    "prefill_tokens_per_s": "median_prefill_rate/1",
    "decode_tokens_per_s": "median_decode_rate/1",
}
GOODPUT = "goodput/1"


def served_rate_metrics(case: Case) -> Iterator[Metric]:
    """All rates, `error_fraction`, `offered_rate_per_s`, and goodput at the bounds of each scenario of the tier."""
    served = case.served
    yield _errors(served)
    yield _offered(case)
    if served is None or not served.answered:
        reason = NO_TABLE if served is None else "no request was answered"
        for name, formula in FORMULAS.items():
            yield absent(name, reason, formula=formula, scope="run")
        yield absent("goodput_per_s", reason, formula=GOODPUT, scope="run")
        return
    wall_s = _wall_s(served)
    yield _over_wall("requests_per_s", len(served.answered), wall_s, served)
    yield from _token_rates(case, served, wall_s)
    yield from _goodput(case, served, wall_s)


def _wall_s(served: Served) -> float:
    wall_ns = served.wall_ns
    return wall_ns / 1e9 if wall_ns is not None and wall_ns > 0 else math.nan


def _over_wall(name: str, amount: float, wall_s: float, served: Served) -> Metric:
    if not wall_s > 0:
        return absent(name, "the last answer came no later than run_start", formula=FORMULAS[name], scope="run")
    return present(name, amount / wall_s, formula=FORMULAS[name], scope="run", sample_count=len(served.answered))


def _token_rates(case: Case, served: Served, wall_s: float) -> Iterator[Metric]:
    if not served.has_tokens:
        for name, formula in FORMULAS.items():
            if name != "requests_per_s":
                yield absent(name, NO_TOKENS, formula=formula, scope="run", status="not_applicable")
        return
    yield _over_wall("output_tokens_per_s", served.output_tokens, wall_s, served)
    name, devices = "output_tokens_per_s_per_device", devices_that_served(case)
    if isinstance(devices, str):
        yield absent(name, devices, formula=FORMULAS[name], scope="run")
    else:
        yield _over_wall(name, served.output_tokens / devices, wall_s, served)
    tpots_s = [value for value in served.tpots_s if value is not None]
    yield _median("output_tokens_per_s_per_user", [1 / value if value else math.inf for value in tpots_s], served)
    if declares_cache(case.evidence.spec.settings):
        yield uncached_prefill(case, served)
    else:
        yield _median("prefill_tokens_per_s", served.prefill_rates_per_s, served)
    yield _median("decode_tokens_per_s", served.decode_rates_per_s, served)


def _median(name: str, rates: Sequence[float], served: Served) -> Metric:
    """The median rate, failed requests being 0; null where it is one of theirs, or where tokens shared a stamp.

    From the fastest on, as times are taken from the shortest: of an even number both name the slower of the middle two.
    """
    formula = FORMULAS[name]
    if not rates:
        return absent(name, "no request brought more than one token", formula=formula, scope="run")
    value = percentile(sorted(rates, reverse=True), 0.5)
    if not value:
        reason = f"the median falls on a request that failed: {served.failures_in_words}"
        return absent(name, reason, formula=formula, scope="run")
    if math.isinf(value):
        reason = "the tokens of most requests came together: no time lies between them"
        return absent(name, reason, formula=formula, scope="run")
    return present(name, value, formula=formula, scope="run", sample_count=len(rates))


def _goodput(case: Case, served: Served, wall_s: float) -> Iterator[Metric]:
    """The headline at the bounds of the run's own scenario; beside it at those of each scenario of the tier."""
    terms, name = case.terms, "goodput_per_s"
    if terms is None or terms.bounds == Bounds() or not wall_s > 0:
        reason = "the scenario has no bounds" if wall_s > 0 else "the last answer came no later than run_start"
        yield absent(name, reason, formula=GOODPUT, scope="run", status="not_applicable")
    else:
        good = served.within(terms.bounds).count(True)
        yield present(name, good / wall_s, formula=GOODPUT, scope="run", sample_count=served.count)
    scenarios = case.tier.scenarios if case.tier is not None and wall_s > 0 else {}
    for scenario, others in scenarios.items():
        if others.bounds != Bounds():
            good = served.within(others.bounds).count(True)
            yield present(
                name, good / wall_s, formula=GOODPUT, scope="run", sample_count=served.count,
                dims={"bounds": scenario},
            )  # fmt: skip


def _errors(served: Served | None) -> Metric:
    name, formula = "error_fraction", "error_fraction/1"
    if served is None or not served.count:
        reason = NO_TABLE if served is None else "no request was issued"
        return absent(name, reason, formula=formula, scope="run")
    return present(name, served.failed / served.count, formula=formula, scope="run", sample_count=served.count)


def _offered(case: Case) -> Metric:
    rate, formula = case.evidence.spec.rate_per_s, "offered_rate/1"
    if rate is None:
        reason = "nothing arrives by itself in this scenario: a request is issued when another was answered, or at once"
        return absent("offered_rate_per_s", reason, formula=formula, scope="run", status="not_applicable")
    return present("offered_rate_per_s", rate, formula=formula, scope="run", status="derived")
