"""The table of a run's metrics, as HTML and as CSV; what does not change from run to run is made once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter

from markupsafe import Markup

from oildrop.rules.records import Metric
from oildrop.site.pages.csvs import LINE_END, csv_lines, safe_text
from oildrop.site.pages.formats import GROUP, SIZED_UNITS, ascii_markup, count_text, escaped, number, scaled
from oildrop.site.pages.labels import dims_text, metric_label

METRICS_HEADER = (
    "run_id", "name", "of", "label", "value", "unit", "status", "reason", "formula", "scope", "uncertainty", "samples",
    "window_start_ns", "window_stop_ns",
)  # fmt: skip

STATUS_WORDS = {"not_measured": "not measured", "not_applicable": "not applicable"}


_KEY = attrgetter("name", "unit", "status", "reason", "formula", "scope")
_OWN = attrgetter("value", "uncertainty", "sample_count", "window_ns")
_NOTHING = (None, None, None, None)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Frame:
    """What is the same around a metric's value in every run, as markup and as CSV.

    Attributes:
        before: Up to the value; for a null up to what a run adds to the note.
        after: From the value, or from a unit that depends on the value's size, up to what a run adds to the note.
        null_row, null_line: Row and line (without run id) of a null to which a run adds nothing.
        is_plain: The value is shown in its own unit, whatever its size.
    """

    before: str
    after: str
    csv_before: str
    csv_after: str
    null_row: str
    null_line: str
    is_plain: bool


def metric_rows(run_id: str, metrics: Sequence[Metric]) -> tuple[Markup, str]:
    """A table's rows, and the same as CSV lines under `METRICS_HEADER` (an empty value is null).

    A row: label and name, value, unit, status, formula, scope, note; a null has its reason as note.
    """
    first = safe_text(run_id)
    frames = _frames(tuple([(dims_text(metric) if metric.dims else "", *_KEY(metric)) for metric in metrics]))
    rows, lines = [], []
    for metric, frame in zip(metrics, frames, strict=True):
        own = _OWN(metric)
        if own == _NOTHING:
            rows.append(frame.null_row)
            lines.append(first + frame.null_line)
            continue
        value, uncertainty, samples, window_ns = own
        if uncertainty is None and samples is None:
            note, csv_end = "", f",,{window_ns[0]},{window_ns[1]}" if window_ns else ",,,"
        else:
            note, csv_end = _own_parts(metric)
        if value is None:
            rows.append(f"{frame.before}{note}</td></tr>\n")
            lines.append(f"{first}{frame.csv_before}{frame.csv_after}{csv_end}{LINE_END}")
        else:
            cells = ascii_markup(number(value)) if frame.is_plain else _scaled_cells(value, metric.unit)
            rows.append(f"{frame.before}{cells}{frame.after}{note}</td></tr>\n")
            lines.append(f"{first}{frame.csv_before}{value!r}{frame.csv_after}{csv_end}{LINE_END}")
    return Markup("".join(rows)), "".join(lines)


def _scaled_cells(value: float | int, unit: str) -> str:
    text, shown_unit = scaled(value, unit)
    return f"{ascii_markup(text)}</td><td>{escaped(shown_unit)}"


def _own_parts(metric: Metric) -> tuple[str, str]:
    """What a run adds to the note of a metric, and the CSV fields of the same."""
    _, uncertainty, samples, window_ns = _OWN(metric)
    notes = [] if metric.reason is None else [""]
    if uncertainty is not None:
        notes.append(f"± {GROUP.join(scaled(uncertainty, metric.unit))} (95 %)")
    if samples is not None:
        notes.append(count_text(samples, "value"))
    start, stop = window_ns or ("", "")
    fields = ["" if value is None else repr(value) for value in (uncertainty, samples)]
    return ascii_markup("; ".join(notes)), f"{','.join(fields)},{start},{stop}"


@lru_cache(maxsize=1024)
def _frames(keys: tuple[tuple[str, ...], ...]) -> tuple[_Frame, ...]:
    """Frames of a whole table, as most tables have the same."""
    return tuple([_frame(*key) for key in keys])


@lru_cache(maxsize=16384)
def _frame(of: str, name: str, unit: str, status: str, reason: str | None, formula: str, scope: str) -> _Frame:
    label, shown = metric_label(name), f"{name} [{of}]" if of else name
    cells = "".join([f"<td>{escaped(text)}</td>" for text in (STATUS_WORDS.get(status, status), formula, scope)])
    (csv_before,) = csv_lines([(name, of, label)])
    (csv_after,) = csv_lines([(unit, status, reason, formula, scope)])
    csv_before, csv_after = f",{csv_before.removesuffix(LINE_END)},", f",{csv_after.removesuffix(LINE_END)},"
    before = f'<tr><th scope="row">{escaped(label)}<br><code>{escaped(shown)}</code></th><td class="n'
    after = f'</td>{cells}<td class="wide">{escaped(reason or "")}'
    is_plain = unit not in SIZED_UNITS
    before += f' null">{STATUS_WORDS[status]}</td><td>{after}' if status in STATUS_WORDS else '">'
    return _Frame(
        before=before,
        after=f"</td><td>{escaped(unit)}{after}" if is_plain else after,
        csv_before=csv_before,
        csv_after=csv_after,
        null_row=f"{before}</td></tr>\n",
        null_line=f"{csv_before}{csv_after},,,{LINE_END}",
        is_plain=is_plain,
    )
