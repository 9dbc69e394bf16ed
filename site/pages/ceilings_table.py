"""Of a system's page: what its calibrations measured, beside what its vendor states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from oildrop.results.rows import RunRow
from oildrop.rules.ceilings import Key, key_of, shows_ceilings
from oildrop.rules.formulas.ceilings import CEILING_METRICS
from oildrop.rules.peaks import part_of, stated_bytes_per_s, stated_flop_per_s
from oildrop.rules.records import Metric
from oildrop.rules.rulebook import DevicePeaks, Rulebook
from oildrop.site.pages.addresses import run_address
from oildrop.site.pages.formats import number, scaled
from oildrop.site.pages.labels import metric_label

CEILINGS_HEADER = (
    "backend", "software_id", "what", "dtype", "measured", "unit", "stated", "measured_over_stated", "spread", "run_id",
)  # fmt: skip


class CeilingLine:
    """One ceiling as the page shows it; a missing stated peak is None."""

    def __init__(self, row: RunRow, metric: Metric, stated: float | None, spread: float | None) -> None:
        self.backend = row.spec.backend
        self.software = row.spec.software_id
        self.what = metric_label(metric.name)
        self.dtype = metric.dims.get("dtype", "")
        self.value, self.unit = float(metric.value or 0), metric.unit
        self.stated = stated
        self.share = None if stated is None else self.value / stated
        self.spread = spread
        self.run_id = row.run_id
        self.address = run_address(row.run_id)

    @property
    def texts(self) -> tuple[str, str | None, str | None, str | None]:
        """Measured, stated, share and spread as people read them."""
        stated = None if self.stated is None else " ".join(scaled(self.stated, self.unit))
        return (
            " ".join(scaled(self.value, self.unit)),
            stated,
            None if self.share is None else f"{number(100 * self.share)} %",
            None if self.spread is None else f"{number(100 * self.spread)} %",
        )

    @property
    def cells(self) -> tuple[str | float | None, ...]:
        """The values, as the CSV file has them."""
        shown = (self.backend, self.software, self.what, self.dtype, self.value, self.unit)
        return (*shown, self.stated, self.share, self.spread, self.run_id)


def ceiling_lines(rows: Sequence[RunRow], rulebook: Rulebook) -> list[CeilingLine]:
    """Of each backend and software of one system its newest good calibration, a line a ceiling."""
    newest: dict[Key, RunRow] = {}
    for row in rows:
        if shows_ceilings(row.spec, row.outcome, rulebook):
            before = newest.get(key_of(row.spec))
            if before is None or (row.spec.created_utc, row.run_id) > (before.spec.created_utc, before.run_id):
                newest[key_of(row.spec)] = row
    found = sorted(newest.values(), key=lambda row: (row.spec.backend, row.spec.software_id))
    return [line for row in found for line in _lines(row, rulebook)]


def _lines(row: RunRow, rulebook: Rulebook) -> Iterator[CeilingLine]:
    part = part_of(row.system, row.spec.backend, rulebook)
    spreads = {
        (metric.dims.get("of"), metric.dims.get("dtype")): metric.value
        for metric in row.judgement.metrics
        if metric.name == "repeat_spread_fraction"
    }
    for metric in row.judgement.metrics:
        dtype = metric.dims.get("dtype")
        if metric.value is None or metric.name not in CEILING_METRICS.values():
            continue
        if metric.name == CEILING_METRICS["matmul"] and dtype is None:
            continue  # the headline stands under its format
        yield CeilingLine(row, metric, _stated(row, part, metric), spreads.get((metric.name, dtype)))


def _stated(row: RunRow, part: DevicePeaks | None, metric: Metric) -> float | None:
    """The vendor's figure for the same; of part of a processor its cores' share, and no bandwidth."""
    if part is None or metric.name == CEILING_METRICS["host_to_device"]:
        return None
    if metric.name == CEILING_METRICS["matmul"]:
        return stated_flop_per_s(part, row.system, metric.dims["dtype"])
    return stated_bytes_per_s(part, row.system)
