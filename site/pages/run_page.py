"""Runs at their address, and beside them their metrics as CSV."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from markupsafe import Markup

from oildrop.results.colocations import colocations_of
from oildrop.results.rows import RunRow
from oildrop.rules.ceilings import key_of, shares_of
from oildrop.rules.roofs import roofline_of
from oildrop.site.pages.addresses import metrics_address, shard_of
from oildrop.site.pages.colocation_section import colocation_section
from oildrop.site.pages.context import Site
from oildrop.site.pages.csvs import csv_lines
from oildrop.site.pages.formats import count_text
from oildrop.site.pages.metric_rows import METRICS_HEADER, metric_rows
from oildrop.site.pages.rendering import Value, fill
from oildrop.site.pages.roofline_chart import roofline_figure
from oildrop.site.pages.run_article import ROOT, run_values
from oildrop.site.pages.run_charts import run_figures
from oildrop.site.pages.searches import searches_of, write_searches

T = TypeVar("T")

FILES_AT_ONCE = 8
"""CSV files whose runs' charts are drawn together."""


def write_run_pages(site: Site, rows: Sequence[RunRow], anchors: Mapping[str, str]) -> None:
    """Write `r/<shard>/index.html` for every run, and the metrics of all runs as `r/<two digits>.csv`.

    Pages whose addresses begin alike share a file of metrics: to make a file takes longer than to fill it.

    Args:
        anchors: Anchor of each run's configuration on the index, by run id.
    """
    files: dict[str, list[RunRow]] = {}
    for row in sorted(rows, key=lambda row: row.run_id):
        files.setdefault(metrics_address(row.run_id), []).append(row)
    searches = searches_of(rows)
    write_searches(site, searches)
    colocations = colocations_of(rows)
    for some in batched(files.items(), FILES_AT_ONCE):
        figures = iter(run_figures([row for _, group in some for row in group], site.rulebook, searches))
        for path, group in some:
            runs = [(row, anchors[row.run_id], next(figures) | _two(row, colocations)) for row in group]
            _write_file(site, path, runs)


def _two(row: RunRow, colocations: Mapping[str, Sequence[RunRow]]) -> dict[str, Value]:
    """The section on two runs at once; None of a run that was part of no such measurement."""
    part = row.spec.colocation
    return {"colocation": colocation_section(row, () if part is None else colocations[part.experiment_id], ROOT)}


def _write_file(site: Site, path: str, runs: Sequence[tuple[RunRow, str, dict[str, Value]]]) -> None:
    """Write the metrics of `runs` to `path`, and the pages that link to it."""
    lines = csv_lines([METRICS_HEADER])
    shards: dict[str, list[dict[str, Value]]] = {}
    holds = _holds(path, len(runs))
    for row, anchor, drawn in runs:
        ceilings = site.ceilings.get(key_of(row.spec)) if site.ceilings else None
        shares = shares_of(row.spec, row.headlines, ceilings)
        roofline = roofline_of(row.spec, row.system, row.headlines, site.rulebook, ceilings)
        metrics, csv = metric_rows(row.run_id, (*row.judgement.metrics, *shares))
        lines.append(csv)
        values = run_values(row, site.rulebook, anchor) | drawn
        values |= {"roofline": roofline_figure(roofline) if roofline else None}
        values |= {"metrics": metrics, "csv": f"{ROOT}{path}", "csv_holds": holds}
        shards.setdefault(shard_of(row.run_id), []).append(values)
    site.output.write(path, "".join(lines))
    for shard, articles in shards.items():
        _write_shard(site, shard, articles)


def _holds(path: str, count: int) -> str:
    """What a file of metrics holds, as the page of one of its `count` runs says it."""
    if count == 1:
        return "metrics of this run"
    others = count_text(count - 1, "other")
    return f"metrics of this run and of {others} whose address begins with {path.removesuffix('.csv')}"


def _write_shard(site: Site, shard: str, runs: Sequence[dict[str, Value]]) -> None:
    """Write the page of `runs`, each as the template of one run takes it."""
    alone = len(runs) == 1
    contents = [f'<li><a href="#run-{run["id"]}">{run["id"]}</a> <span>{run["badge"]}</span></li>\n' for run in runs]
    shared = (("root", ROOT), ("path", ""), ("built_utc", site.built_utc))
    page: dict[str, Value] = {
        "title": f"Run {runs[0]['id']}" if alone else f"Runs {shard}",
        "contents": None if alone else Markup("".join(contents)),
        "count": str(len(runs)),
        "articles": Markup("".join([fill("run.html.j2", run | {"alone": alone}) for run in runs])),
    }
    site.output.write(f"r/{shard}/index.html", fill("runs_shard.html.j2", page, shared))


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """`items` in lists of `size`, the last one shorter."""
    left = iter(items)
    while some := list(islice(left, size)):
        yield some
