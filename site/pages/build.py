"""Build the whole page: rows of a store in, a folder of plain files out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from oildrop.results.collector import collector_paused
from oildrop.results.costs import Economics
from oildrop.results.rows import RunRow
from oildrop.rules.ceilings import newest_ceilings
from oildrop.rules.rulebook import Rulebook
from oildrop.site.pages.boards import boards_of
from oildrop.site.pages.context import Site
from oildrop.site.pages.failures_page import write_failures
from oildrop.site.pages.index_page import write_index
from oildrop.site.pages.method_page import write_method
from oildrop.site.pages.output import Output
from oildrop.site.pages.rendering import style_sheet
from oildrop.site.pages.run_page import write_run_pages
from oildrop.site.pages.system_page import write_system_pages


@dataclass(frozen=True, kw_only=True)
class SiteReport:
    """What a build wrote: the page to open, how many pages, how many runs stand on them."""

    index: Path
    pages: int
    runs: int


def build_site(
    layout_rows: Sequence[RunRow], rulebook: Rulebook, out: Path, *, built_utc: str, economics: Economics | None = None
) -> SiteReport:
    """Write the site of all `layout_rows` to `out`, replacing an earlier build there in one step.

    Args:
        layout_rows: Every run of a store, whatever its outcome; no two with one `run_id`.
        built_utc: The instant shown as the time of building, ISO 8601 in UTC.
        economics: Prices for the boards' costs; None shows none.

    Raises:
        UsageError: `out` holds something that is no page built here.
    """
    with Output(out) as output, collector_paused():
        calibrated = ((row.spec, row.judgement) for row in layout_rows if row.spec.kind == "calibrate")
        ceilings = newest_ceilings(calibrated, rulebook)
        site = Site(rulebook=rulebook, built_utc=built_utc, output=output, economics=economics, ceilings=ceilings)
        boards = boards_of(layout_rows)
        anchors = {row.run_id: part.anchor for board in boards for part in board.configurations for row in part.rows}
        output.write("style.css", style_sheet())
        write_index(site, boards, layout_rows)
        write_failures(site, layout_rows)
        write_method(site)
        write_system_pages(site, boards, layout_rows)
        write_run_pages(site, layout_rows, anchors)
    return SiteReport(index=out / "index.html", pages=output.pages, runs=len(layout_rows))
