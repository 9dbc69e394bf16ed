"""The table of a run's metrics, as HTML and as CSV; what does not change from run to run is made once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter

from markupsafe import Markup, escape

from oildrop.rules.records import Metric
from oildrop.site.pages.csvs import LINE_END, csv_lines, safe_cell
from oildrop.site.pages.formats import GROUP, count_text, escaped, number, scaled
from oildrop.site.pages.labels import dims_text, metric_label

METRICS_HEADER = (
    "run_id", "name", "of", "label", "value", "unit", "status", "reason", "formula", "scope", "uncertainty", "samples",
    "window_start_ns", "window_stop_ns",
)  # fmt: skip

STATUS_WORDS = {"not_measured": "not measured", "not_applicable": "not applicable"}


_KEY = attrgetter("name", "unit", "status", "reason", "formula", "scope")
_OWN = attrgetter("uncertainty", "sample_count", "window_ns")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Frame:
    """What is the same around a metric's value in every run, as markup and as CSV.

    Attributes:
        before: Up to the value's cell; for a null up to the end of the note.
        after: From the unit's end to the note.
    """

    before: str
    after: str
    csv_before: str
    csv_after: str


def metric_rows(run_id: str, metrics: Sequence[Metric]) -> tuple[Markup, str]:
    """A table's rows, and the same as CSV lines under `METRICS_HEADER` (an empty value is null).

    A row: label and name, value, unit, status, formula, scope, note; a null has its reason as note.
    """
    first = safe_cell(run_id)
    rows, lines = [], []
    for metric in metrics:
        value, own = metric.value, _OWN(metric)
        frame = _frame(dims_text(metric) if metric.dims else "", *_KEY(metric))
        if own[0] is None and own[1] is None:
            note, csv_end = "", f",,{own[2][0]},{own[2][1]}" if own[2] else ",,,"
        else:
            note, csv_end = _own_parts(metric)
        if value is None:
            rows.append(f"{frame.before}{note}</td></tr>\n")
            lines.append(f"{first}{frame.csv_before}{frame.csv_after}{csv_end}{LINE_END}")
        else:
            text, unit = scaled(value, metric.unit)
            rows.append(f"{frame.before}{text}</td><td>{escaped(unit)}{frame.after}{note}</td></tr>\n")
            lines.append(f"{first}{frame.csv_before}{value!r}{frame.csv_after}{csv_end}{LINE_END}")
    return Markup("".join(rows)), "".join(lines)


def _own_parts(metric: Metric) -> tuple[str, str]:
    """What a run adds to the note of a metric, and the CSV fields of the same."""
    uncertainty, samples, window_ns = _OWN(metric)
    notes = [] if metric.reason is None else [""]
    if uncertainty is not None:
        notes.append(f"± {number(uncertainty)}{GROUP}{escaped(metric.unit)} (95 %)")
    if samples is not None:
        notes.append(count_text(samples, "value"))
    start, stop = window_ns or ("", "")
    fields = ["" if value is None else repr(value) for value in (uncertainty, samples)]
    return "; ".join(notes), f"{','.join(fields)},{start},{stop}"


@lru_cache(maxsize=16384)
def _frame(of: str, name: str, unit: str, status: str, reason: str | None, formula: str, scope: str) -> _Frame:
    label, shown = metric_label(name), f"{name} [{of}]" if of else name
    cells = "".join([f"<td>{escape(text)}</td>" for text in (STATUS_WORDS.get(status, status), formula, scope)])
    (csv_before,) = csv_lines([(name, of, label)])
    (csv_after,) = csv_lines([(unit, status, reason, formula, scope)])
    before = f'<tr><th scope="row">{escape(label)}<br><code>{escape(shown)}</code></th>'
    after = f'</td>{cells}<td class="wide">{escape(reason or "")}'
    null = f'<td class="n null">{STATUS_WORDS[status]}</td><td>{after}' if status in STATUS_WORDS else ""
    return _Frame(
        before=before + (null or '<td class="n">'),
        after=after,
        csv_before=f",{csv_before.removesuffix(LINE_END)},",
        csv_after=f",{csv_after.removesuffix(LINE_END)},",
    )
