"""Ceilings of the machine, from the times that a calibration logged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from oildrop.rules import keys
from oildrop.rules.case import Case
from oildrop.rules.events import Event
from oildrop.rules.formulas.ceilings import CEILING_METRICS, fastest_rate, moved_bytes, product_flop, spread_fraction
from oildrop.rules.measures.making import Absence, absent, present
from oildrop.rules.records import Metric

HEADLINE_DTYPE = "fp32"
SPREAD, SPREAD_FORMULA = "repeat_spread_fraction", "repeat_spread/1"


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """One ceiling: work a second of the fastest repeat and the spread of all, or why there is none."""

    dtype: str | None
    rate: float | None = None
    spread: float | None = None
    repeats: int | None = None
    reason: str = ""
    status: Absence = "not_measured"


def ceiling_metrics(case: Case) -> Iterator[Metric]:
    """One metric for each thing that was done, products once more by dtype, and the spread of the repeats."""
    spreads: list[Metric] = []
    for what, name in CEILING_METRICS.items():
        found = [_ceiling(what, event) for event in case.evidence.all(keys.CEILING) if event.value == what]
        formula = f"{what}_ceiling/1"
        head = next((each for each in found if each.dtype in (None, HEADLINE_DTYPE)), None)
        yield _metric(name, head or Ceiling(dtype=None, reason="it was not measured before the end"), formula, {})
        for each in found:
            dims = {} if each.dtype is None else {"dtype": each.dtype}
            if each.dtype is not None:
                yield _metric(name, each, formula, dims)
            if each.spread is not None:
                of = {"of": name, **dims}
                spreads.append(
                    present(
                        SPREAD, each.spread, formula=SPREAD_FORMULA, scope="device", sample_count=each.repeats, dims=of
                    )
                )
    if spreads:
        largest = max(float(metric.value or 0) for metric in spreads)
        yield present(SPREAD, largest, formula=SPREAD_FORMULA, scope="device")
    else:
        yield absent(SPREAD, "no ceiling was measured", formula=SPREAD_FORMULA, scope="device")
    yield from spreads


def _metric(name: str, ceiling: Ceiling, formula: str, dims: dict[str, str]) -> Metric:
    if ceiling.rate is None:
        return absent(name, ceiling.reason, formula=formula, scope="device", status=ceiling.status, dims=dims)
    return present(name, ceiling.rate, formula=formula, scope="device", sample_count=ceiling.repeats, dims=dims)


def _ceiling(what: str, event: Event) -> Ceiling:
    """The rate that follows from what the event counts."""
    meta = event.meta
    dtype = str(meta["dtype"]) if "dtype" in meta else None
    if meta.get("reason"):
        status: Absence = "not_applicable" if meta.get("applicable") is False else "not_measured"
        return Ceiling(dtype=dtype, reason=str(meta["reason"]), status=status)
    try:
        repeats_s, count = [float(each) for each in meta["repeats_s"]], int(meta["count"])
        is_product = what == "matmul"
        work = product_flop(int(meta["width"]), count) if is_product else moved_bytes(what, int(meta["bytes"]), count)
        rate = fastest_rate(work, repeats_s)
    except (KeyError, TypeError, ValueError):
        return Ceiling(dtype=dtype, reason="the log does not say what was repeated, or how long it took")
    return Ceiling(dtype=dtype, rate=rate, spread=spread_fraction(repeats_s), repeats=len(repeats_s))
