"""The index: by benchmark, tier and scenario every configuration, and every run where they are few enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from oildrop.results.rows import RunRow
from oildrop.rules.catalogue import CATALOGUE
from oildrop.rules.set_runs import NOT_COUNTED
from oildrop.site.pages import labels
from oildrop.site.pages.addresses import page_name, system_address
from oildrop.site.pages.axes import Axis, axis_over
from oildrop.site.pages.boards import Board, Configuration
from oildrop.site.pages.charts import strip, strip_axis
from oildrop.site.pages.configuration_lines import (
    CONFIGURATION_HEADER,
    ConfigurationLine,
    configuration_cells,
    configuration_line,
)
from oildrop.site.pages.context import ROWS_A_PAGE, ROWS_ON_INDEX, Site
from oildrop.site.pages.costs import CostView, write_costs
from oildrop.site.pages.formats import count_text
from oildrop.site.pages.goals import goal_text
from oildrop.site.pages.run_table import RunTable, run_table, write_runs_csv
from oildrop.site.pages.ties import open_ties, ranks_text

MOST_STRIPS = 40
"""Most configurations drawn above a table; the table holds all."""


@dataclass(frozen=True, kw_only=True)
class BoardView:
    """One board as its template takes it.

    Attributes:
        drawable: Configurations that could be drawn; `strips` are the first of them.
        ranks: What the ranks may be taken to say; None without ranks.
        ties: Sentences on neighbours that are not told apart.
        costs: Cost or energy against speed; None where neither is known.
    """

    board: Board
    title: str
    goal: str
    tally: Markup
    heading: str
    lines: list[ConfigurationLine]
    strips: list[tuple[ConfigurationLine, Markup]]
    drawable: int
    scale: Markup | None
    ranks: str | None
    ties: list[str]
    costs: CostView | None
    csv: str
    table: RunTable | None
    runs_href: str
    run_count: str


def write_index(site: Site, boards: Sequence[Board], rows: Sequence[RunRow]) -> None:
    """Write `index.html`, the pages of long tables of runs, and the CSV files of all of them."""
    views = [_board_view(site, board) for board in boards]
    systems: dict[str, list[RunRow]] = {}
    for row in rows:
        systems.setdefault(row.spec.system_id, []).append(row)
    values = {
        "views": views,
        "tally": run_tally(rows),
        "run_count": count_text(len(rows), "run"),
        "systems": [
            (system_address(key), labels.system_name(members[0].system, key), key, run_tally(members))
            for key, members in systems.items()
        ],
        "outcomes": [name for name, _ in labels.ordered({row.outcome: 1 for row in rows})],
    }
    site.page("index.html", "index.html.j2", values)
    write_runs_csv(site, "runs.csv", rows)
    counts = [(labels.system_name(m[0].system, key), key, *_counts(m)) for key, m in systems.items()]
    site.csv("systems.csv", ("system", "system_id", "ok", "failed", "others"), counts)


def run_tally(rows: Sequence[RunRow]) -> Markup:
    """`N ok, M failed`, what never was an attempt by outcome, and the probes of searches."""
    ok, failed, _ = _counts(rows)
    counts = Counter([row.outcome for row in rows if row.spec.kind != "probe"])
    others = [f", {count} {name}" for name, count in labels.ordered(counts) if name in NOT_COUNTED]
    probes = len(rows) - counts.total()
    found = f", {count_text(probes, 'probe')}" if probes else ""
    return labels.tally_text(ok, failed) + "".join(others) + found


def _counts(rows: Sequence[RunRow]) -> tuple[int, int, int]:
    """Runs that ended ok, that failed, and that never were an attempt; a probe that misses is none that failed."""
    counts = Counter([row.outcome for row in rows if row.spec.kind != "probe"])
    others = sum(counts[name] for name in NOT_COUNTED)
    return counts["ok"], counts.total() - counts["ok"] - others, len(rows) - counts.total() + others


def _board_view(site: Site, board: Board) -> BoardView:
    rows = board.rows
    lines = [configuration_line(configuration, board) for configuration in board.configurations]
    csv = f"results-{board.slug}-configurations.csv"
    cells = [configuration_cells(configuration) for configuration in board.configurations]
    site.csv(csv, CONFIGURATION_HEADER, cells)
    few = len(rows) <= ROWS_ON_INDEX
    if not few:
        _write_runs_pages(site, board, rows)
    axis = _strip_axis(board)
    benchmark = site.rulebook.benchmarks.get(board.benchmark)
    return BoardView(
        board=board,
        title=benchmark.title if benchmark else "not in this rulebook",
        goal=goal_text(site.rulebook, board),
        tally=run_tally(rows),
        heading=_heading(board),
        lines=lines,
        strips=_strips(board, lines, axis) if axis else [],
        drawable=len(_drawable(board)),
        scale=strip_axis(axis) if axis else None,
        ranks=ranks_text(board),
        ties=open_ties(board),
        costs=write_costs(site, board),
        csv=csv,
        table=_few_runs(site, board, rows) if few else None,
        runs_href=f"runs/{board.slug}.html",
        run_count=count_text(len(rows), "run"),
    )


def _few_runs(site: Site, board: Board, rows: Sequence[RunRow]) -> RunTable:
    csv = f"results-{board.slug}-runs.csv"
    write_runs_csv(site, csv, rows)
    return run_table(rows, key=f"runs-{board.slug}", caption=f"Every run of {board.name}", csv=csv)


def _write_runs_pages(site: Site, board: Board, rows: Sequence[RunRow]) -> None:
    """Write `runs/<board>.html` and its further pages of at most `ROWS_A_PAGE` runs each."""
    tally = run_tally(rows)
    pages = [rows[start : start + ROWS_A_PAGE] for start in range(0, len(rows), ROWS_A_PAGE)]
    names = [page_name(board.slug, page) for page in range(1, len(pages) + 1)]
    for page, part in enumerate(pages, start=1):
        csv = page_name(board.slug, page, ".csv")
        write_runs_csv(site, f"runs/{csv}", part)
        caption = f"Runs of {board.name}, page {page} of {len(pages)}"
        table = run_table(part, key="runs", caption=caption, csv=csv, root="../")
        values = {"board": board, "table": table, "tally": tally, "names": names, "number": page}
        site.page(f"runs/{names[page - 1]}", "runs.html.j2", values)


def _heading(board: Board) -> str:
    """Heading of the estimates' column."""
    metrics = {configuration.summary.metric for configuration in board.configurations}
    if len(metrics) > 1:
        return "Headline metric"
    (name,) = metrics
    unit = CATALOGUE[name].unit if name in CATALOGUE else ""
    return f"{labels.metric_label(name)} ({unit})" if unit == "s" else labels.metric_label(name)


def _values(configuration: Configuration) -> list[float]:
    """The headline metric of each run that ended ok: what one measured that missed its bounds is no result."""
    found = [row.headlines.get(configuration.summary.metric) for row in configuration.rows if row.outcome == "ok"]
    return [float(metric.value) for metric in found if metric is not None and metric.value is not None]


def _drawn(board: Board) -> list[Configuration]:
    """The configurations above the table."""
    return _drawable(board)[:MOST_STRIPS]


def _drawable(board: Board) -> list[Configuration]:
    """All but probes, which come last and stand in the table alone."""
    return [one for one in board.configurations if one.summary.kind != "probe"]


def _strip_axis(board: Board) -> Axis | None:
    """The scale that all strips of a board share; None where no run has a value."""
    drawn = _drawn(board)
    if len({configuration.summary.metric for configuration in drawn}) > 1:
        return None
    values = [value for configuration in drawn for value in _values(configuration)]
    values += [c.summary.ci95_high for c in drawn if c.summary.ci95_high is not None]
    values += [c.summary.ci95_low for c in drawn if c.summary.ci95_low is not None]
    return axis_over(values, count=6) if values else None


def _strips(board: Board, lines: Sequence[ConfigurationLine], axis: Axis) -> list[tuple[ConfigurationLine, Markup]]:
    """Each configuration with its strip."""
    drawn = []
    for configuration, line in zip(_drawn(board), lines, strict=False):
        summary = configuration.summary
        interval = None
        if summary.ci95_low is not None and summary.ci95_high is not None:
            interval = (summary.ci95_low, summary.ci95_high)
        picture = strip(_values(configuration), axis, estimate=summary.estimate, interval=interval)
        drawn.append((line, picture))
    return drawn
