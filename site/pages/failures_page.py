"""Every run that did not end `ok`, by outcome, with its reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from oildrop.results.rows import RunRow
from oildrop.site.pages import labels
from oildrop.site.pages.addresses import page_name, run_address, slug
from oildrop.site.pages.context import ROWS_A_PAGE, Site
from oildrop.site.pages.formats import time_element
from oildrop.site.pages.index_page import run_tally
from oildrop.site.pages.run_table import write_runs_csv


@dataclass(frozen=True, kw_only=True)
class Group:
    """Runs of one outcome on one page.

    Attributes:
        total: Runs of this outcome on all pages.
        lines: Address, run id, time, benchmark and tier, machine, backend and setting, reason.
    """

    outcome: str
    key: str
    total: int
    first: int
    csv: str
    lines: list[tuple[object, ...]]


def write_failures(site: Site, rows: Sequence[RunRow]) -> None:
    """Write `failures.html`, its further pages, and a CSV file for each table."""
    groups: dict[str, list[RunRow]] = {}
    for row in rows:
        if row.outcome != "ok":
            groups.setdefault(row.outcome, []).append(row)
    totals = labels.ordered({outcome: len(members) for outcome, members in groups.items()})
    pages = list(_pages([groups[outcome] for outcome, _ in totals])) or [[]]
    names = [page_name("failures", number) for number in range(1, len(pages) + 1)]
    starts = {part[0][0].outcome: names[i] for i, page in reversed(list(enumerate(pages))) for part in page}
    for i, page in enumerate(pages):
        shown = [_group(site, part, first, len(groups[part[0].outcome]), i + 1) for part, first in page]
        values = {
            "groups": shown,
            "names": names,
            "number": i + 1,
            "tally": run_tally(rows),
            "totals": [(outcome, count, f"{starts[outcome]}#outcome-{slug(outcome)}") for outcome, count in totals],
        }
        site.page(names[i], "failures.html.j2", values)


def _pages(groups: Sequence[Sequence[RunRow]]) -> Iterator[list[tuple[Sequence[RunRow], int]]]:
    """Slices of the groups with each slice's first place in its group (from 1), `ROWS_A_PAGE` rows a page."""
    page: list[tuple[Sequence[RunRow], int]] = []
    room = ROWS_A_PAGE
    for group in groups:
        start = 0
        while start < len(group):
            part = group[start : start + room]
            page.append((part, start + 1))
            start += len(part)
            room -= len(part)
            if room == 0:
                yield page
                page, room = [], ROWS_A_PAGE
    if page:
        yield page


def _group(site: Site, rows: Sequence[RunRow], first: int, total: int, page: int) -> Group:
    key = slug(rows[0].outcome)
    csv = page_name(f"failures-{key}", page, ".csv")
    write_runs_csv(site, csv, rows)
    return Group(
        outcome=rows[0].outcome,
        key=key,
        total=total,
        first=first,
        csv=csv,
        lines=[_line(row) for row in rows],
    )


def _line(row: RunRow) -> tuple[object, ...]:
    spec = row.spec
    return (
        run_address(spec.run_id),
        spec.run_id,
        time_element(spec.created_utc),
        labels.place_text(spec),
        labels.device_name(row),
        labels.variant_text(spec),
        row.judgement.reason or "no reason recorded",
    )
