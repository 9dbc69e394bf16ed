"""`oildrop colocate`: a training and a served model on one device at once, beside each alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from oildrop.suite.cli import options, parsing
from oildrop.suite.cli.lazy import PlainCommand, make_app
from oildrop.suite.cli.numbers import show_number
from oildrop.suite.cli.options import option
from oildrop.suite.cli.output import print_document, print_table, screen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from oildrop.results.layout import StoreLayout
    from oildrop.rules.colocation import ColocationResult, Figure, PairResult
    from oildrop.suite.colocate import ColocationPlan
    from oildrop.suite.execute import ExecutionReport

app = make_app()

LEGEND = (
    "Loss: share of the rate alone that is missing while both clocks run, train by tokens/s, serve by requests/s. "
    "p99 and energy: together over alone, energy for the same work; one reading of the device, counted once."
)


@app.command(cls=PlainCommand, epilog="Example: oildrop colocate lm-pretrain lm-generate --scenario single-stream")
def colocate(
    train: Annotated[str, typer.Argument(metavar="TRAIN", show_default=False)],
    serve: Annotated[str, typer.Argument(metavar="SERVE", show_default=False)],
    pairs: Annotated[int, typer.Option("--pairs", metavar="N", min=1, help="Repetitions, of four runs each (3).",
        show_default=False)] = 3,
    tier: Annotated[str | None, option("--tier", "T", "Size of both benchmarks (nano).")] = None,
    backend: Annotated[str, option("--backend", "B", "Framework and device, as torch-cpu (auto).")] = "auto",
    scenario: Annotated[str | None, option("--scenario", "S", "How requests arrive.")] = None,
    rate: Annotated[float | None, option("--rate", "R", "Queries/s where they arrive by themselves.")] = None,
    concurrency: Annotated[int | None, typer.Option("--concurrency", metavar="N", min=1, show_default=False,
        help="Requests in flight.")] = None,
    train_set: Annotated[list[str] | None, option("--train-set", "KEY=VALUE", "Change a setting of TRAIN.")] = None,
    serve_set: Annotated[list[str] | None, option("--serve-set", "KEY=VALUE", "Change a setting of SERVE.")] = None,
    division: Annotated[str, option("--division", "D", "Rules: closed or open (closed).")] = "closed",
    timeout: Annotated[float | None, option("--timeout", "S", "Deadline of a run in seconds.")] = None,
    memory_limit: Annotated[str | None, option("--memory-limit", "BYTES", "Most memory of a run.")] = None,
    note: Annotated[str | None, option("--note", "TEXT", "Words kept with each run.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be run; write nothing.")] = False,
    store: options.Store = None,
    as_json: options.Json = False,
) -> int:  # fmt: skip
    """Measure TRAIN and SERVE alone and both at once, by turns: what each loses, and the energy of both."""
    from dataclasses import replace

    from oildrop.results.layout import store_layout
    from oildrop.suite.colocate import plan_colocation
    from oildrop.suite.request import RunRequest

    training = RunRequest(
        benchmarks=(train,),
        tier=tier,
        backend=backend,
        runs=pairs,
        changes=parsing.parse_settings(train_set or ()),
        division=division,
        timeout_s=parsing.parse_seconds("--timeout", timeout),
        memory_limit_bytes=None if memory_limit is None else parsing.parse_bytes("--memory-limit", memory_limit),
        note=note,
    )
    serving = replace(
        training,
        benchmarks=(serve,),
        changes=parsing.parse_settings(serve_set or ()),
        scenario=scenario,
        rate_per_s=parsing.parse_rate(rate),
        concurrency=() if concurrency is None else (concurrency,),
    )
    chosen = {
        "--tier": tier, "--backend": None if backend == "auto" else backend, "--scenario": scenario,
        "--rate": None if rate is None else f"{rate:.16g}", "--concurrency": concurrency,
        "--division": None if division == "closed" else division,
        "--timeout": None if timeout is None else f"{timeout:g}", "--memory-limit": memory_limit,
    }  # fmt: skip
    command = _command(train, serve, chosen, {"--train-set": train_set, "--serve-set": serve_set})
    layout = store_layout(store)
    planned = plan_colocation(training, serving, layout, command, create=not dry_run)
    if dry_run:
        return _show_plan(planned, as_json=as_json)
    return _measure(planned, layout, as_json=as_json)


def _command(
    train: str, serve: str, chosen: Mapping[str, object], settings: Mapping[str, Sequence[str] | None]
) -> list[str]:
    """What repeats one pair: of the options those that were chosen, and each changed setting under its own."""
    command = ["oildrop", "colocate", train, serve, "--pairs", "1"]
    command += [word for key, value in chosen.items() if value is not None for word in (key, str(value))]
    for key, words in settings.items():
        command += [word for setting in words or () for word in (key, setting)]
    return command


def _show_plan(planned: ColocationPlan, *, as_json: bool) -> int:
    specs = list(planned.specs)
    if as_json:
        print_document({"schema": "oildrop.colocate-plan/1", "runs": specs})
        return 0
    rows = [
        (
            str(spec.colocation.pair) if spec.colocation else "",
            " ".join(word for word in (spec.benchmark, spec.tier, spec.scenario) if word),
            spec.backend,
            (spec.colocation.beside if spec.colocation else None) or "alone",
        )
        for spec in specs
    ]
    print_table(screen(), ("pair", "run", "backend", "beside"), rows)
    return 0


def _measure(planned: ColocationPlan, layout: StoreLayout, *, as_json: bool) -> int:
    from oildrop.results.colocations import colocation_document, result_of
    from oildrop.results.document import runs_document
    from oildrop.suite.cli import progress
    from oildrop.suite.cli.run import exit_code
    from oildrop.suite.together import execute_colocation

    with progress.make_progress(progress.stderr_console(), 2) as shown:
        report = execute_colocation(planned, layout, shown)
    result = result_of(report.rows)
    if as_json:
        document = runs_document(layout, report.rows)
        print_document(
            {
                "schema": "oildrop.colocate/1",
                "store": document["store"],
                **colocation_document(result),
                "runs": document["runs"],
            }
        )
    else:
        _print_report(layout, report, result)
    return exit_code(report)


def _print_report(layout: StoreLayout, report: ExecutionReport, result: ColocationResult) -> None:
    console = screen()
    print_colocation(console, result)
    console.print(f"\n{LEGEND}")
    for row in report.rows:
        if row.outcome != "ok":
            console.print(f"{row.run_id} {row.outcome}: {row.judgement.reason or 'no reason recorded'}")
    if report.cancelled:
        console.print("Stopped by hand: the runs that were left were not started.")
    console.print(f"\nThe store: {layout.root}\nNext: oildrop show last, or oildrop site build --out oildrop-page")


def print_colocation(console: Console, result: ColocationResult) -> None:
    """A line a pair, then what all pairs say together."""
    from oildrop.results.colocations import figure_sentence

    headings = ("pair", "overlap", "train loss", "serve loss", "p99", "energy", "of both")
    print_table(console, headings, [_line(pair) for pair in result.pairs], right=",".join(headings))
    console.print()
    for figure in result.figures:
        console.print(f"{figure_sentence(figure)}.", markup=False)


def _line(pair: PairResult) -> tuple[Any, ...]:
    overlap = "–" if pair.overlap_s is None else f"{show_number(pair.overlap_s)} s"
    joint = "–" if pair.energy_j is None else f"{show_number(pair.energy_j)} J {pair.energy_scope}"
    return str(pair.pair), overlap, *map(_cell, pair.figures), joint


def _cell(figure: Figure) -> str:
    if figure.value is None:
        return "–"
    return f"{100 * figure.value:.1f} %" if figure.name == "colocation_loss_fraction" else f"× {figure.value:.3g}"
