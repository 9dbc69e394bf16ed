"""`oildrop show`: everything about one run."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oildrop.suite.cli import options
from oildrop.suite.cli.findings import print_findings
from oildrop.suite.cli.headlines import arrivals, how_answered
from oildrop.suite.cli.lazy import PlainCommand, make_app
from oildrop.suite.cli.numbers import show_number, show_value
from oildrop.suite.cli.output import outcome_text, print_document, print_table, screen
from oildrop.suite.cli.parsing import setting_text

if TYPE_CHECKING:
    from rich.console import Console

    from oildrop.results.layout import StoreLayout
    from oildrop.results.rows import RunRow
    from oildrop.rules.records import Colocation, Metric

app = make_app()

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run id, its unique beginning, or last.")]


@app.command(cls=PlainCommand, epilog="Example: oildrop show last")
def show(run: RunArgument, store: options.Store = None, as_json: options.Json = False) -> None:
    """One run: how it ended, every metric with its formula or the reason why it is missing.

    Then findings, phases, meters, its address on the page, and the command that repeats it.
    """
    from oildrop.results.ingest import refresh
    from oildrop.results.layout import store_layout
    from oildrop.results.views import find_run

    layout = store_layout(store)
    refresh(layout)
    row = find_run(layout, run)
    if as_json:
        print_document(_document(layout, row))
    else:
        _print_run(screen(), layout, row)


def _document(layout: StoreLayout, row: RunRow) -> dict[str, Any]:
    from oildrop.results.document import runs_document
    from oildrop.rules.outcomes import MEANINGS
    from oildrop.site.pages.addresses import run_address

    run = runs_document(layout, [row])["runs"][0]
    shares = _shares(layout, row)
    return {
        "schema": "oildrop.run/1",
        "store": str(layout.root),
        "run": run,
        "meaning": MEANINGS[row.outcome].text,
        "spec": row.spec,
        "system": row.system,
        "phases": row.digest.phases,
        "curve": row.digest.curve,
        "meters": row.digest.meters,
        "measured_ceilings": shares,
        "sealed": row.sealed,
        "bundle_id": row.bundle_id,
        "bundle": layout.run_dir(row.run_id),
        "judge_version": row.judgement.judge_version,
        "page": run_address(row.run_id),
        "command": row.spec.command,
    }


def _shares(layout: StoreLayout, row: RunRow) -> tuple[Metric, ...]:
    """Shares of the ceilings that the newest fitting calibration of the store measured."""
    from oildrop.results.views import list_runs
    from oildrop.rules.ceilings import key_of, newest_ceilings, shares_of
    from oildrop.rules.loading import load_rulebook

    calibrated = ((each.spec, each.judgement) for each in list_runs(layout, benchmark="calibrate", outcome="ok"))
    ceilings = newest_ceilings(calibrated, load_rulebook())
    return shares_of(row.spec, row.headlines, ceilings.get(key_of(row.spec)))


def _print_run(console: Console, layout: StoreLayout, row: RunRow) -> None:
    _print_head(console, layout, row)
    console.print()
    print_metrics(console, row, (*row.judgement.metrics, *_shares(layout, row)))
    if row.judgement.findings:
        console.print("\nFindings")
        print_findings(console, row.judgement.findings)
    _print_phases(console, row)
    _print_meters(console, row)
    _print_addresses(console, row)


def _print_head(console: Console, layout: StoreLayout, row: RunRow) -> None:
    from oildrop.rules.outcomes import MEANINGS

    spec = row.spec
    head = outcome_text(row.outcome)
    head.append(f": {MEANINGS[row.outcome].text}", style="default")
    console.print(head)
    if row.judgement.reason:
        console.print(f"reason: {row.judgement.reason}")
    number = "" if spec.seed_index is None else f" (number {spec.seed_index})"
    chosen = ", chosen by hand: never ranked" if spec.seeds_chosen else ""
    console.print(f"run {row.run_id}, started {spec.created_utc}")
    console.print(f"{spec.benchmark} {spec.tier}, division {spec.division}, {spec.backend}")
    if spec.scenario is not None:
        probe = ", a probe of a search" if spec.kind == "probe" else ""
        console.print(f"requests arrive: {arrivals(spec)}{probe}")
        if how_answered(spec):
            console.print(f"requests are answered: {how_answered(spec)}")
    if spec.parent_run_id is not None:
        console.print(f"part of the search that began with run {spec.parent_run_id}")
    if spec.colocation is not None:
        _print_two(console, layout, spec.colocation)
    console.print(f"seed {spec.seed}{number}{chosen}")
    for key, (default, changed) in spec.changed.items():
        console.print(f"changed: {key} {setting_text(default)} → {setting_text(changed)}")
    if spec.note:
        console.print(f"note: {spec.note}")
    sealed = f"sealed as {row.bundle_id}" if row.sealed else "not sealed"
    console.print(f"bundle {layout.run_dir(row.run_id)}, {sealed}")


def _print_two(console: Console, layout: StoreLayout, part: Colocation) -> None:
    """Which run was beside it, and what the whole measurement says."""
    from oildrop.results.colocations import colocations_of, figure_sentence, result_of
    from oildrop.results.views import list_runs

    where = f"pair {part.pair} of the measurement of two at once that began with run {part.experiment_id}"
    beside = "alone" if part.beside_run_id is None else f"beside run {part.beside_run_id} ({part.beside})"
    console.print(f"{beside}, {where}")
    for figure in result_of(colocations_of(list_runs(layout))[part.experiment_id]).figures:
        console.print(f"  {figure_sentence(figure)}", markup=False)


def print_metrics(console: Console, row: RunRow, metrics: tuple[Metric, ...]) -> None:
    """What has a value, then what has none and why; words in place of a table without a line."""
    known = [metric for metric in metrics if metric.value is not None]
    missing = [metric for metric in metrics if metric.value is None]
    if known:
        rows = [(_name(metric), _value(metric), metric.status, metric.formula) for metric in known]
        print_table(console, ("metric", "value", "status", "formula"), rows, right="value", whole="metric")
    else:
        console.print(_why_none(row, listed=bool(missing)), markup=False)
    if missing:
        console.print()
        reasons = [(_name(metric), f"{metric.status}: {metric.reason}", metric.formula) for metric in missing]
        print_table(console, ("metric without a value", "why", "formula"), reasons, whole="metric without a value")


def _why_none(row: RunRow, *, listed: bool) -> str:
    """Why no metric has a value: how the run ended, or that its judgement lists none at all."""
    from oildrop.rules.outcomes import MEANINGS

    if not listed:
        return (
            f"This run has no metrics: its judgement (version {row.judgement.judge_version}) lists none; "
            f"`oildrop check {row.run_id}` judges it again."
        )
    return f"No metric has a value: the run is {row.outcome} ({MEANINGS[row.outcome].text})."


def _name(metric: Metric) -> str:
    dims = ", ".join(f"{key}={value}" for key, value in metric.dims.items())
    return f"{metric.name} ({dims})" if dims else metric.name


def _value(metric: Metric) -> str:
    text = show_value(metric.value, metric.unit)
    if metric.uncertainty is None or metric.value is None:
        return text
    return f"{text} ± {show_value(metric.uncertainty, metric.unit)}"


def _print_phases(console: Console, row: RunRow) -> None:
    """Time in each phase, in the order of its first entry."""
    spent_s: dict[str, float] = {}
    for span in row.digest.phases:
        spent_s[span.name] = spent_s.get(span.name, 0.0) + (span.stop_ns - span.start_ns) / 1e9
    if spent_s:
        words = ", ".join(f"{name} {show_number(round(seconds, 3))} s" for name, seconds in spent_s.items())
        console.print(f"\nPhases: {words}")


def _print_meters(console: Console, row: RunRow) -> None:
    for meter in row.digest.meters:
        detail = meter.reason or ", ".join(word for word in (meter.scope, meter.method) if word)
        console.print(f"Meter {meter.name}: {meter.status}{f', {detail}' if detail else ''}")


def _print_addresses(console: Console, row: RunRow) -> None:
    from oildrop.site.pages.addresses import run_address

    console.print(f"\nOn the page: {run_address(row.run_id)}")
    if row.spec.command:
        console.print(f"To repeat it: {shlex.join(row.spec.command)}")
    console.print(f"To judge it again: oildrop check {row.run_id}")
