"""Latencies of a served run: means, percentiles, and the percentile that is sure by early stopping."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from oildrop.rules.case import Case
from oildrop.rules.formulas import early_stopping
from oildrop.rules.formulas.latency import PERCENTILES, percentile
from oildrop.rules.measures.making import Absence, absent, present
from oildrop.rules.records import Metric
from oildrop.rules.served import Served

NO_TABLE = "the run left no table of its requests"
NO_TOKENS = "answers of this benchmark come whole, not token by token"


@dataclass(frozen=True, kw_only=True)
class _Time:
    """One kind of latency: where its values are, and whether it is of tokens."""

    values: Callable[[Served], Sequence[float | None]]
    of_tokens: bool


TIMES = {
    "latency_s": _Time(values=lambda served: served.latencies_s, of_tokens=False),
    "ttft_s": _Time(values=lambda served: served.ttfts_s, of_tokens=True),
    "tpot_s": _Time(values=lambda served: served.tpots_s, of_tokens=True),
    "itl_s": _Time(values=lambda served: served.gaps_s, of_tokens=True),
}


def latency_metrics(case: Case) -> Iterator[Metric]:
    """`latency_s`, `ttft_s`, `tpot_s`, `itl_s`: each a mean and three percentiles; `latency_s` an estimate beside."""
    served = case.served
    for name, time in TIMES.items():
        if served is None or not served.count:
            yield from _all_absent(name, NO_TABLE if served is None else "no request was issued")
        elif time.of_tokens and not served.has_tokens:
            yield from _all_absent(name, NO_TOKENS, "not_applicable")
        else:
            values = sorted(value for value in time.values(served) if value is not None)
            yield from _statistics(name, values, served)
    if served is not None and served.count:
        yield from _estimate(case, served)


def lateness_metric(case: Case) -> Metric:
    """`dispatch_lateness_s_p99`."""
    name, formula, served = "dispatch_lateness_s_p99", "dispatch_lateness_percentile/1", case.served
    if served is None or not served.count:
        return absent(name, NO_TABLE if served is None else "no request was issued", formula=formula, scope="run")
    late_s = percentile(sorted(served.lateness_s), PERCENTILES["p99"])
    return present(name, late_s, formula=formula, scope="run", sample_count=served.count)


def _statistics(name: str, ordered: list[float], served: Served) -> Iterator[Metric]:
    """Mean and percentiles of values in order, of which infinite ones belong to failed requests."""
    count, formula = len(ordered), _formula(name)
    if not ordered:
        yield from _all_absent(name, "no request brought more than one token")
        return
    mean_s = math.fsum(ordered) / count if math.isfinite(ordered[-1]) else None
    if mean_s is None:
        reason = f"a mean over the others would hide that {served.failures_in_words}"
        yield absent(name, reason, formula=formula, scope="run")
    else:
        yield present(name, mean_s, formula=formula, scope="run", sample_count=count)
    for ending, share in PERCENTILES.items():
        value_s, own = percentile(ordered, share), _percentile_formula(name)
        if math.isfinite(value_s):
            yield present(f"{name}_{ending}", value_s, formula=own, scope="run", sample_count=count)
        else:
            reason = f"the {ending} falls on a request that failed: {served.failures_in_words}"
            yield absent(f"{name}_{ending}", reason, formula=own, scope="run")


def _estimate(case: Case, served: Served) -> Iterator[Metric]:
    """The scenario's percentile at confidence 0.99, beside the plain one."""
    terms = case.terms
    endings = [ending for ending, share in PERCENTILES.items() if terms is not None and share == terms.percentile]
    if terms is None or not endings:
        return
    name, dims, formula = f"latency_s_{endings[0]}", {"estimate": "early_stopping"}, early_stopping.FORMULA
    ordered = sorted(served.latencies_s)
    value_s = early_stopping.estimate(ordered, terms.percentile)
    if value_s is None:
        least = early_stopping.least_queries_for_estimate(terms.percentile)
        reason = f"{len(ordered)} queries were served; an estimate at confidence 0.99 needs {least}"
        yield absent(name, reason, formula=formula, scope="run", dims=dims)
    elif math.isinf(value_s):
        yield absent(name, f"it falls on a request that failed: {served.failures_in_words}", formula=formula,
                     scope="run", dims=dims)  # fmt: skip
    else:
        yield present(
            name, value_s, formula=formula, scope="run", status="derived", sample_count=len(ordered), dims=dims
        )


def _all_absent(name: str, reason: str, status: Absence = "not_measured") -> Iterator[Metric]:
    yield absent(name, reason, formula=_formula(name), scope="run", status=status)
    for ending in PERCENTILES:
        yield absent(f"{name}_{ending}", reason, formula=_percentile_formula(name), scope="run", status=status)


def _formula(name: str) -> str:
    return f"{name.removesuffix('_s')}/1"


def _percentile_formula(name: str) -> str:
    return f"{name.removesuffix('_s')}_percentile/1"
