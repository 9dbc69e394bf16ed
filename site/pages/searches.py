"""Runs of one search for the highest rate, told by the run with which it began."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from markupsafe import Markup

from oildrop.results.rows import RunRow
from oildrop.rules.records import Metric
from oildrop.site.pages import labels
from oildrop.site.pages.addresses import key_of, run_address
from oildrop.site.pages.context import Site
from oildrop.site.pages.csvs import Cell
from oildrop.site.pages.formats import ascii_markup, escaped, number
from oildrop.site.pages.metric_rows import STATUS_WORDS

Searches = Mapping[str, Sequence[RunRow]]

_TAILS = ("ttft_s_p99", "tpot_s_p99", "latency_s_p99")


def searches_of(rows: Iterable[RunRow]) -> dict[str, list[RunRow]]:
    """By run id all runs of its search, in order of time; runs that were part of none are left out."""
    groups: dict[str, list[RunRow]] = {}
    for row in rows:
        if row.spec.rate_per_s is not None:
            groups.setdefault(row.spec.parent_run_id or row.run_id, []).append(row)
    found = {}
    for group in groups.values():
        if any(row.spec.parent_run_id for row in group):
            group.sort(key=lambda row: row.run_id)
            found.update({row.run_id: group for row in group})
    return found


def search_address(search: Sequence[RunRow]) -> str:
    """The CSV file of a search, from the root of the site."""
    return f"searches/{key_of(search[0].run_id)}.csv"


def write_searches(site: Site, searches: Searches) -> None:
    """Write each search as a CSV file with exact values; times in seconds."""
    for search in {search[0].run_id: search for search in searches.values()}.values():
        site.csv(search_address(search), ("run_id", "rate_per_s", "kind", "outcome", *_TAILS), map(_cells, search))


def _cells(row: RunRow) -> tuple[Cell, ...]:
    tails = [None if metric is None else metric.value for metric in map(row.headlines.get, _TAILS)]
    return (row.run_id, row.spec.rate_per_s, row.spec.kind, row.outcome, *tails)


def search_rows(search: Sequence[RunRow], run_id: str, root: str) -> Markup:
    """One line a run of the search: rate, kind, outcome, tail latencies; `run_id` is the page's own."""
    return Markup(ascii_markup("".join(_line(row, row.run_id == run_id, root) for row in search)))


def _line(row: RunRow, here: bool, root: str) -> str:
    spec = row.spec
    run_id = escaped(spec.run_id)
    link = f"<b>{run_id}</b>" if here else f'<a href="{root}{run_address(spec.run_id)}">{run_id}</a>'
    kind = "probe" if spec.kind == "probe" else "at the rate found"
    cells = "".join(f'<td class="n">{_tail(row.headlines.get(name))}</td>' for name in _TAILS)
    rate = "" if spec.rate_per_s is None else number(spec.rate_per_s)
    return (
        f'<tr><th scope="row">{link}</th><td class="n">{rate}</td><td>{kind}</td>'
        f"<td>{labels.outcome_badge(row.outcome)}</td>{cells}</tr>\n"
    )


def _tail(metric: Metric | None) -> str:
    if metric is None:
        return '<span class="null">not listed</span>'
    if metric.value is None:
        return f'<span class="null">{STATUS_WORDS[metric.status]}</span>'
    return number(1e3 * metric.value)
