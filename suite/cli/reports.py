"""How an invocation of `oildrop run` went: its runs, a sentence a configuration, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oildrop.suite.cli.headlines import named
from oildrop.suite.cli.numbers import count, show_value
from oildrop.suite.cli.output import screen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oildrop.results.layout import StoreLayout
    from oildrop.results.rows import RunRow
    from oildrop.suite.execute import ExecutionReport


def print_report(layout: StoreLayout, report: ExecutionReport, document: dict[str, Any]) -> None:
    """Print the runs of `report` and the summaries of their `document`."""
    from oildrop.suite.cli.runs import print_runs_table

    console = screen()
    if report.rows:
        print_runs_table(console, report.rows)
        console.print()
    for summary in document["summary"]:
        console.print(summary_sentence(summary))
    runs = [row for row in report.rows if row.spec.kind != "probe"]
    otherwise = sum(row.outcome != "ok" for row in runs)
    if otherwise:
        console.print(f"{otherwise} of {len(runs)} runs ended otherwise than ok; each is kept and shown.")
    probes = len(report.rows) - len(runs)
    if probes:
        console.print(f"{count(probes, 'probe')} looked for the highest rate; each is kept and shown, none counts.")
    for sentence in searches_told(report.rows):
        console.print(sentence)
    if report.cancelled:
        console.print("Stopped by hand: the runs that were left were not started.")
    console.print(f"\nThe store: {layout.root}")
    console.print("Next: oildrop show last, or oildrop site build --out oildrop-page")


def searches_told(rows: Sequence[RunRow]) -> list[str]:
    """What each search among `rows` has found, led by what was searched."""
    from oildrop.rules.search_words import search_sentence

    searches: dict[str, list[RunRow]] = {}
    for row in rows:
        if row.spec.parent_run_id or row.spec.kind == "probe":
            searches.setdefault(row.spec.parent_run_id or row.run_id, []).append(row)
    return [
        f"{group[0].spec.benchmark} {group[0].spec.tier} {group[0].spec.scenario}: "
        + search_sentence((row.spec.rate_per_s or 0.0, row.outcome) for row in group)
        for group in searches.values()
    ]


def summary_sentence(summary: dict[str, Any]) -> str:
    """One configuration in a sentence: how many runs were ok, its headline and interval, or why there is none."""
    scenario = f" {summary['scenario']}" if summary.get("scenario") else ""
    if summary.get("rate_per_s") is not None:
        scenario += f" at {summary['rate_per_s']:g} queries/s"
    if summary.get("track"):
        scenario += f", {summary['track']},"
    where = f"{summary['benchmark']} {summary['tier']}{scenario} on {summary['backend']}, {summary['division']}"
    counts = f"{summary['ok']} of {summary['runs']} runs ok"
    return f"{where}: {counts}; {_estimate_text(summary)}{_standing_text(summary)}."


def _estimate_text(summary: dict[str, Any]) -> str:
    from oildrop.rules.catalogue import CATALOGUE

    if summary["estimate"] is None:
        return f"no estimate: {summary.get('reason') or 'not measured'}"
    unit = CATALOGUE[summary["metric"]].unit
    estimate = named(summary["metric"], show_value(summary["estimate"], unit))
    if summary["ci95_low"] is None:
        return f"{estimate}, without an interval: {summary.get('reason') or 'one run has none'}"
    low, high = (show_value(summary[bound], unit) for bound in ("ci95_low", "ci95_high"))
    return f"{estimate} (95 % interval {low} to {high})"


def _standing_text(summary: dict[str, Any]) -> str:
    standing = summary.get("standing")
    return f"; {standing}" if standing else ""
