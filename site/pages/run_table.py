"""The table of runs: one line a run with its outcome, headline metrics and why one is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from oildrop.results.rows import RunRow
from oildrop.rules.catalogue import CATALOGUE
from oildrop.rules.headline import headline_of
from oildrop.rules.records import Metric
from oildrop.site.pages import labels
from oildrop.site.pages.addresses import run_address, system_address
from oildrop.site.pages.context import Site
from oildrop.site.pages.csvs import Cell, csv_lines
from oildrop.site.pages.formats import escaped, number, time_element
from oildrop.site.pages.metric_rows import STATUS_WORDS

CSV_HEADER = (
    "run_id", "created_utc", "benchmark", "tier", "division", "backend", "kind", "system", "system_id", "workload_id",
    "software_id", "set_id", "settings", "seed", "seed_index", "seeds_chosen", "outcome", "reason", "sealed",
    "scenario", "rate_per_s", *CATALOGUE,
)  # fmt: skip

_POWER_COLUMNS = (("power_w", "Power (W)", 1.0), ("busy_fraction", "Busy (%)", 100.0))
_SERVED_COLUMNS = (
    ("ttft_s_p99", "TTFT p99 (ms)", 1e3), ("tpot_s_p99", "TPOT p99 (ms)", 1e3),
    ("output_tokens_per_s", "Tokens/s", 1.0),
)  # fmt: skip
_ENERGY_COLUMNS = (
    ("energy_to_target_j", "Energy to target (kJ)", 1e-3), ("energy_per_token_j", "Energy a token (J)", 1.0),
    ("energy_per_request_j", "Energy a request (J)", 1.0),
)  # fmt: skip
"""Shown where a run of the table has them: one that no meter saw says so under its power and on its page."""

_SERVED_HEADLINES = {
    "latency_s_p90": ("latency_s_p90", "Latency p90 (ms)", 1e3),
    "latency_s_p99": ("latency_s_p99", "Latency p99 (ms)", 1e3),
    "requests_per_s": ("requests_per_s", "Requests/s", 1.0),
}
_RATE_HEADINGS = {"train_tokens_per_s": "Tokens/s", "train_samples_per_s": "Samples/s"}


@dataclass
class Notes:
    """Numbered reasons under one table, each reason once.

    Attributes:
        prefix: Makes ids unique on a page.
    """

    prefix: str
    numbers: dict[str, int] = field(default_factory=dict)

    def mark(self, reason: str) -> str:
        """Markup of a link to the note that holds `reason`."""
        place = self.numbers.setdefault(reason, len(self.numbers) + 1)
        return f'<sup><a href="#{self.prefix}-note-{place}">{place}</a></sup>'


@dataclass(frozen=True, kw_only=True)
class RunTable:
    """A table as its template takes it.

    Attributes:
        key: Unique on the page; ids are made of it.
        columns: Headings of the metric columns, with units.
        body: Its rows: run and time, outcome and reason, metrics, seed, configuration.
        notes: Numbers of the reasons that cells point to.
    """

    key: str
    caption: str
    csv: str
    columns: tuple[str, ...]
    body: Markup
    notes: dict[str, int]


def run_table(rows: Sequence[RunRow], *, key: str, caption: str, csv: str, root: str = "") -> RunTable:
    """The table of `rows` in the order given, on a page that reaches the site's root by `root`."""
    notes = Notes(key)
    columns = _columns(rows)
    lines = []
    for row in rows:
        cells = [f'<td class="n">{_cell(row.headlines.get(name), factor, notes)}</td>' for name, _, factor in columns]
        lines.append(_line(row, "".join(cells), root))
    headings = tuple(heading for _, heading, _ in columns)
    return RunTable(
        key=key, caption=caption, csv=csv, columns=headings, body=Markup("".join(lines)), notes=notes.numbers
    )


def _columns(rows: Sequence[RunRow]) -> tuple[tuple[str, str, float], ...]:
    """Metric, heading and factor of each column of numbers: those of the kind of run that `rows` are."""
    served = [row.spec.scenario for row in rows if row.spec.scenario]
    energy = [column for column in _ENERGY_COLUMNS if any(_has(row, column[0]) for row in rows)]
    if served:
        return (_SERVED_HEADLINES[headline_of("serve", served[0]) or "requests_per_s"], *_SERVED_COLUMNS, *energy)
    rate = _rate_of(rows)
    head = (("time_to_target_s", "Time to target (s)", 1.0), (rate, _RATE_HEADINGS[rate], 1.0))
    return (*head, *_POWER_COLUMNS, *energy)


def _has(row: RunRow, name: str) -> bool:
    metric = row.headlines.get(name)
    return metric is not None and metric.value is not None


def _line(row: RunRow, cells: str, root: str) -> str:
    """One row of the body; made by hand, as ten thousand of them through a template take seconds."""
    spec = row.spec
    reason = row.judgement.reason
    why = f'<br><span class="why">{escape(reason)}</span>' if reason else ""
    seed = "chosen" if spec.seed_index is None else spec.seed_index
    machine = labels.device_name(row)
    return (
        f'<tr><th scope="row"><a href="{root}{run_address(spec.run_id)}">{spec.run_id}</a>'
        f"<br>{time_element(spec.created_utc)}</th>"
        f'<td class="wide">{labels.outcome_badge(row.outcome)}{why}</td>{cells}<td class="n">{seed}</td>'
        f'<td class="wide"><a href="{root}{system_address(spec.system_id)}">{escaped(machine)}</a>'
        f'<br><span class="why">{escaped(labels.variant_text(spec))}</span></td></tr>\n'
    )


def _rate_of(rows: Sequence[RunRow]) -> str:
    """The rate to show: tokens where a run has them and they are something else than its samples."""
    return "train_tokens_per_s" if any(map(has_tokens, rows)) else "train_samples_per_s"


def has_tokens(row: RunRow) -> bool:
    """Whether tokens a second tell more than samples a second: not where a sample is one token, as an image is."""
    tokens, samples = row.headlines.get("train_tokens_per_s"), row.headlines.get("train_samples_per_s")
    if tokens is None or tokens.value is None:
        return False
    return samples is None or tokens.value != samples.value


def _cell(metric: Metric | None, factor: float, notes: Notes) -> str:
    """A number, or in words that there is none with the mark of its reason."""
    if metric is None:
        return _missing("not listed", notes.mark("runs of this kind list no such metric"))
    if metric.value is None:
        return _missing(STATUS_WORDS[metric.status], notes.mark(metric.reason or "no reason recorded"))
    return number(metric.value * factor)


def _missing(words: str, mark: str) -> str:
    return f'<span class="null">{words}{mark}</span>'


def write_runs_csv(site: Site, path: str, rows: Sequence[RunRow]) -> None:
    """Write `rows` to `path` with every headline metric exactly; an empty field is null."""
    fresh = [row for row in rows if row.run_id not in site.run_lines]
    site.run_lines.update(zip([row.run_id for row in fresh], csv_lines(map(_csv_cells, fresh)), strict=True))
    site.output.write(path, "".join([*csv_lines([CSV_HEADER]), *[site.run_lines[row.run_id] for row in rows]]))


def _csv_cells(row: RunRow) -> tuple[Cell, ...]:
    """One run's line: identities, ending, headline metrics."""
    spec, headlines = row.spec, row.headlines
    values = [None if metric is None else metric.value for metric in map(headlines.get, CATALOGUE)]
    return (
        spec.run_id, spec.created_utc, spec.benchmark, spec.tier, spec.division, spec.backend, spec.kind,
        labels.device_name(row), spec.system_id, spec.workload_id, spec.software_id, spec.set_id,
        labels.settings_text(spec), spec.seed, spec.seed_index, spec.seeds_chosen, row.outcome, row.judgement.reason,
        row.sealed, spec.scenario, spec.rate_per_s, *values,
    )  # fmt: skip
