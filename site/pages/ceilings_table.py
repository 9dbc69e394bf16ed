"""Of a system's page: what its calibrations measured, beside what its vendor states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from oildrop.results.rows import RunRow
from oildrop.rules.ceilings import Key, key_of
from oildrop.rules.formulas.ceilings import CEILING_METRICS
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
        if row.spec.kind == "calibrate" and row.outcome == "ok":
            before = newest.get(key_of(row.spec))
            if before is None or (row.spec.created_utc, row.run_id) > (before.spec.created_utc, before.run_id):
                newest[key_of(row.spec)] = row
    found = sorted(newest.values(), key=lambda row: (row.spec.backend, row.spec.software_id))
    return [line for row in found for line in _lines(row, rulebook)]


def _lines(row: RunRow, rulebook: Rulebook) -> Iterator[CeilingLine]:
    part = _part(row, rulebook)
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


def _part(row: RunRow, rulebook: Rulebook) -> DevicePeaks | None:
    if row.system is None:
        return None
    if row.spec.backend.endswith("-cpu"):
        return rulebook.peaks_of(row.system.cpu.model) if row.system.cpu.model else None
    return rulebook.peaks_of(row.system.accelerators[0].model) if row.system.accelerators else None


def _stated(row: RunRow, part: DevicePeaks | None, metric: Metric) -> float | None:
    """The vendor's figure for the same; of part of a processor its cores' share, and no bandwidth."""
    if part is None:
        return None
    cores = row.system.cpu.physical_cores if row.system else None
    if metric.name == CEILING_METRICS["matmul"]:
        peak = part.peak_flop_per_s.get(metric.dims["dtype"])
        if peak is None or part.cores is None:
            return peak
        return peak * cores / part.cores if cores else None
    if metric.name == CEILING_METRICS["host_to_device"]:
        return None
    whole = part.cores is None or cores == part.cores
    return part.bandwidth_bytes_per_s if whole else None
