"""`oildrop sweep`: prefill and decode at fixed shapes, every cell a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from oildrop.suite.cli import options, parsing
from oildrop.suite.cli.lazy import PlainCommand, make_app
from oildrop.suite.cli.numbers import show_number
from oildrop.suite.cli.options import option
from oildrop.suite.cli.output import outcome_text, print_document, print_table, screen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oildrop.results.layout import StoreLayout
    from oildrop.results.rows import RunRow
    from oildrop.suite.execute import ExecutionReport
    from oildrop.suite.request import RunRequest

app = make_app()

METRICS = ("prefill_tokens_per_s", "decode_tokens_per_s", "output_tokens_per_s", "ttft_s_p50", "tpot_s_p50")


@app.command(
    cls=PlainCommand, epilog="Example: oildrop sweep lm-generate --prefill 128,512 --decode 128 --batch 1,4,16"
)
def sweep(
    benchmark: Annotated[str, typer.Argument(metavar="BENCHMARK", show_default=False)],
    prefill: Annotated[str, option("--prefill", "P,P", "Tokens of each prompt (128,512).")] = "128,512",
    decode: Annotated[str, option("--decode", "D,D", "Tokens of each answer (128).")] = "128",
    batch: Annotated[str, option("--batch", "N,N", "Requests answered at once (1,4,16).")] = "1,4,16",
    weights: Annotated[str, option("--weights", "W", "random, or the tier's checkpoint (random).")] = "random",
    tier: Annotated[str | None, option("--tier", "T", "Size of the model (nano).")] = None,
    backend: Annotated[str, option("--backend", "B", "Framework and device, as torch-cpu (auto).")] = "auto",
    settings: Annotated[list[str] | None, option("--set", "KEY=VALUE", "Change a setting (repeatable).")] = None,
    timeout: Annotated[float | None, option("--timeout", "S", "Deadline of a run in seconds.")] = None,
    memory_limit: Annotated[str | None, option("--memory-limit", "BYTES", "Most memory, as 2GiB.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be run; write nothing.")] = False,
    store: options.Store = None,
    as_json: options.Json = False,
) -> int:  # fmt: skip
    """Measure every combination of lengths and batch; what does not fit is kept too."""
    from oildrop.results.layout import store_layout
    from oildrop.suite.planning import plan
    from oildrop.suite.request import RunRequest
    from oildrop.suite.sweep import cells_of

    request = RunRequest(
        benchmarks=(benchmark,),
        tier=tier,
        backend=backend,
        runs=1,
        changes=parsing.parse_settings(settings or ()),
        division="open",
        timeout_s=parsing.parse_seconds("--timeout", timeout),
        memory_limit_bytes=None if memory_limit is None else parsing.parse_bytes("--memory-limit", memory_limit),
    )
    options_of = {"--prefill": prefill, "--decode": decode, "--batch": batch}
    cells = cells_of(*(parsing.parse_counts(name, text) for name, text in options_of.items()))
    layout = store_layout(store)
    planned = plan(_with_cells(request, cells, weights), layout, create=not dry_run)
    if dry_run:
        from oildrop.suite.cli import plans

        plans.show_plan(planned, layout, as_json=as_json)
        return 0
    return _measure(planned, layout, as_json=as_json)


def _with_cells(request: RunRequest, cells: Sequence[Any], weights: str) -> RunRequest:
    from dataclasses import replace

    from oildrop.rules.loading import load_rulebook
    from oildrop.rules.settings import find_benchmark
    from oildrop.suite.sweep import changes_of
    from oildrop.suite.wanted import DEFAULT_TIER

    benchmark = find_benchmark(load_rulebook(), request.benchmarks[0])
    tier = request.tier or DEFAULT_TIER
    if tier not in benchmark.tiers:
        raise parsing.unknown_name("tier", tier, benchmark.tiers)
    variants = tuple(changes_of(cell, benchmark, tier, weights=weights, asked=request.changes) for cell in cells)
    return replace(request, variants=variants)


def _measure(planned: Sequence[Any], layout: StoreLayout, *, as_json: bool) -> int:
    from oildrop.suite.cli import progress
    from oildrop.suite.cli.run import exit_code
    from oildrop.suite.execute import execute

    with progress.make_progress(progress.stderr_console(), len(planned)) as shown:
        report = execute(list(planned), layout, shown)
    if as_json:
        print_document(sweep_document(layout, report.rows))
    else:
        _print_report(layout, report)
    return exit_code(report)


def sweep_document(layout: StoreLayout, rows: Sequence[RunRow]) -> dict[str, Any]:
    """`oildrop.sweep/1`: one cell a run with its shape and rates (tokens/s) and times (s), then the runs themselves."""
    from oildrop.results.document import runs_document

    document = runs_document(layout, rows)
    cells = [_cell_document(row) for row in rows]
    return {"schema": "oildrop.sweep/1", "store": document["store"], "cells": cells, "runs": document["runs"]}


def _cell_document(row: RunRow) -> dict[str, Any]:
    from oildrop.suite.sweep import cell_of

    cell = cell_of(row.spec)
    return {
        "prompt_tokens": cell.prompt_tokens,
        "output_tokens": cell.output_tokens,
        "batch": cell.batch,
        "run_id": row.run_id,
        "outcome": row.outcome,
        "reason": row.judgement.reason,
        **{name: _value(row, name) for name in METRICS},
    }


def _value(row: RunRow, name: str) -> float | int | None:
    metric = row.headlines.get(name)
    return None if metric is None else metric.value


def _print_report(layout: StoreLayout, report: ExecutionReport) -> None:
    console = screen()
    headings = ("test", "batch", "prefill", "decode", "decode all", "TTFT p50", "TPOT p50", "outcome", "run")
    rows = [_line(row) for row in report.rows]
    print_table(console, headings, rows, right="batch,prefill,decode,decode all,TTFT p50,TPOT p50", whole="run,outcome")
    console.print(
        "\nprefill: prompt tokens/s of one request, waiting included; decode: tokens/s of one stream; decode all: "
        "output tokens/s of all streams together, prefill in the time. Medians of requests."
    )
    for row in report.rows:
        if row.outcome != "ok":
            console.print(f"{row.run_id} {row.outcome}: {row.judgement.reason or 'no reason recorded'}")
    if report.cancelled:
        console.print("Stopped by hand: the cells that were left were not started.")
    console.print(f"\nThe store: {layout.root}\nNext: oildrop show last, or oildrop site build --out oildrop-page")


def _line(row: RunRow) -> tuple[Any, ...]:
    from oildrop.suite.sweep import cell_of

    cell = cell_of(row.spec)
    numbers = [
        _text(_value(row, name), 1e3 if name.endswith("_p50") else 1.0, " ms" if name.endswith("_p50") else " t/s")
        for name in METRICS
    ]
    test = f"pp{cell.prompt_tokens} tg{cell.output_tokens}"
    return test, str(cell.batch), *numbers, outcome_text(row.outcome), row.run_id


def _text(value: float | int | None, factor: float, unit: str) -> str:
    return "–" if value is None else f"{show_number(value * factor)}{unit}"
