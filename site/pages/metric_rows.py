"""The table of a run's metrics, as HTML and as CSV; what does not change from run to run is made once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from markupsafe import Markup, escape

from oildrop.rules.records import Metric
from oildrop.site.pages.csvs import csv_line, safe_cell
from oildrop.site.pages.formats import GROUP, count_text, number, scaled
from oildrop.site.pages.labels import dims_text, metric_label

METRICS_HEADER = (
    "run_id", "name", "of", "label", "value", "unit", "status", "reason", "formula", "scope", "uncertainty", "samples",
    "window_start_ns", "window_stop_ns",
)  # fmt: skip

STATUS_WORDS = {"not_measured": "not measured", "not_applicable": "not applicable"}


def metrics_html(metrics: Sequence[Metric]) -> Markup:
    """Table rows: label and name, value, unit, status, formula, scope, note; a null has its reason as note."""
    return Markup("".join([_row_html(metric) for metric in metrics]))


def metrics_csv(run_id: str, metrics: Sequence[Metric]) -> str:
    """CSV lines under `METRICS_HEADER`; an empty value is null."""
    first = str(safe_cell(run_id))
    return "".join([_row_csv(first, metric) for metric in metrics])


def _row_html(metric: Metric) -> str:
    of = dims_text(metric) if metric.dims else ""
    if metric.value is None:
        return _null_row(metric.name, of, metric.status, metric.formula, metric.scope, metric.reason or "")
    text, unit = scaled(metric.value, metric.unit)
    plain = metric.uncertainty is None and metric.sample_count is None and metric.reason is None
    note = "" if plain else _note(metric)
    before, after = _around(metric.name, of, unit, metric.status, metric.formula, metric.scope, note)
    return before + text + after


def _note(metric: Metric) -> str:
    notes = []
    if metric.uncertainty is not None:
        notes.append(f"± {number(metric.uncertainty)}{GROUP}{metric.unit} (95 %)")
    if metric.sample_count is not None:
        notes.append(count_text(metric.sample_count, "value"))
    if metric.reason:
        notes.append(metric.reason)
    return "; ".join(notes)


@lru_cache(maxsize=8192)
def _null_row(name: str, of: str, status: str, formula: str, scope: str, reason: str) -> str:
    words = STATUS_WORDS[status]
    before, after = _around(name, of, "", words, formula, scope, reason)
    return before.removesuffix('<td class="n">') + f'<td class="n null">{words}' + after


@lru_cache(maxsize=8192)
def _around(name: str, of: str, unit: str, status: str, formula: str, scope: str, note: str) -> tuple[str, str]:
    """A row's markup before and after its value."""
    shown = f"{name} [{of}]" if of else name
    before = f'<tr><th scope="row">{escape(metric_label(name))}<br><code>{escape(shown)}</code></th><td class="n">'
    cells = "".join([f"<td>{escape(text)}</td>" for text in (unit, status, formula, scope)])
    return before, f'</td>{cells}<td class="wide">{escape(note)}</td></tr>\n'


def _row_csv(run_id: str, metric: Metric) -> str:
    of = dims_text(metric) if metric.dims else ""
    before, after = _csv_around(metric.name, of, metric.unit, metric.status, metric.reason, metric.formula, metric.scope)
    start, stop = metric.window_ns or ("", "")
    value = "" if metric.value is None else repr(metric.value)
    uncertainty = "" if metric.uncertainty is None else repr(metric.uncertainty)
    samples = "" if metric.sample_count is None else metric.sample_count
    return f"{run_id},{before}{value}{after}{uncertainty},{samples},{start},{stop}\r\n"


@lru_cache(maxsize=8192)
def _csv_around(
    name: str, of: str, unit: str, status: str, reason: str | None, formula: str, scope: str
) -> tuple[str, str]:
    before = csv_line((name, of, metric_label(name))).removesuffix("\r\n")
    after = csv_line((unit, status, reason, formula, scope)).removesuffix("\r\n")
    return f"{before},", f",{after},"
