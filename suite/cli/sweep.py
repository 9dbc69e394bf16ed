"""`oildrop sweep`: prefill and decode at fixed shapes, every cell a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from oildrop.suite.cli import options, parsing
from oildrop.suite.cli.headlines import how_answered
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

METRICS = (
    "engine_prefill_tokens_per_s", "engine_decode_tokens_per_s", "prefill_tokens_per_s", "decode_tokens_per_s",
    "output_tokens_per_s", "requests_per_s", "ttft_s_p50", "tpot_s_p50", "mfu", "mbu",
)  # fmt: skip
COLUMNS = {
    "prefill": "engine_prefill_tokens_per_s", "decode": "engine_decode_tokens_per_s", "a stream": "decode_tokens_per_s",
    "output": "output_tokens_per_s", "TTFT p50": "ttft_s_p50", "TPOT p50": "tpot_s_p50",
}  # fmt: skip
MEANS = ("weights", "draft", "transfer", "prefix_cache")
"""Settings of the engine that a cell's document names, null where none is set."""

LEGEND = (
    "prefill: prompt tokens/s in the steps that read prompts, no waiting in it; decode: tokens/s of all streams in the "
    "steps that decode; a stream: one request's own tokens/s, median, other requests' prefill in it; output: tokens/s "
    "of all over wall time. pp: prompt, tg: answer, d: tokens that the cache held before."
)


@app.command(
    cls=PlainCommand, epilog="Example: oildrop sweep lm-generate --prefill 128,512 --decode 128 --batch 1,4,16"
)
def sweep(
    benchmark: Annotated[str, typer.Argument(metavar="BENCHMARK", show_default=False)],
    prefill: Annotated[str, option("--prefill", "P,P", "Tokens of each prompt; 0: decode alone.")] = "128,512",
    decode: Annotated[str, option("--decode", "D,D", "Tokens of each answer; 0: prefill alone (128).")] = "128",
    depth: Annotated[str, option("--depth", "D,D", "Tokens that the cache holds before (0).")] = "0",
    batch: Annotated[str, option("--batch", "N,N", "Requests answered at once (1,4,16).")] = "1,4,16",
    scenario: Annotated[str, option("--scenario", "S", "Or offline: all requests at once.")] = "concurrency",
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
    """Measure every combination of lengths, depth and batch; what does not fit is kept too."""
    from oildrop.results.layout import store_layout
    from oildrop.suite.planning import plan
    from oildrop.suite.request import RunRequest
    from oildrop.suite.sweep import SCENARIOS, cells_of

    if scenario not in SCENARIOS:
        raise parsing.unknown_name("scenario", scenario, SCENARIOS)
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
    counts = [
        parsing.parse_counts(name, text, zero=name != "--batch")
        for name, text in (("--prefill", prefill), ("--decode", decode), ("--batch", batch), ("--depth", depth))
    ]
    layout = store_layout(store)
    planned = plan(_with_cells(request, cells_of(*counts), weights, scenario), layout, create=not dry_run)
    if dry_run:
        from oildrop.suite.cli import plans

        plans.show_plan(planned, layout, as_json=as_json)
        return 0
    return _measure(planned, layout, as_json=as_json)


def _with_cells(request: RunRequest, cells: Sequence[Any], weights: str, scenario: str) -> RunRequest:
    from dataclasses import replace

    from oildrop.rules.loading import load_rulebook
    from oildrop.rules.settings import find_benchmark
    from oildrop.suite.sweep import changes_of
    from oildrop.suite.wanted import DEFAULT_TIER

    benchmark = find_benchmark(load_rulebook(), request.benchmarks[0])
    tier = request.tier or DEFAULT_TIER
    if tier not in benchmark.tiers:
        raise parsing.unknown_name("tier", tier, benchmark.tiers)
    variants = tuple(
        changes_of(cell, benchmark, tier, weights=weights, asked=request.changes, scenario=scenario) for cell in cells
    )
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
        print_report(layout, report)
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
        "test": cell.test,
        "scenario": row.spec.scenario,
        "depth_tokens": cell.depth_tokens,
        "prompt_tokens": cell.prompt_tokens,
        "output_tokens": cell.output_tokens,
        "batch": cell.batch,
        **{name: row.spec.settings.get(f"execution.{name}") or None for name in MEANS},
        "run_id": row.run_id,
        "outcome": row.outcome,
        "reason": row.judgement.reason,
        **{name: _value(row, name) for name in METRICS},
    }


def _value(row: RunRow, name: str) -> float | int | None:
    metric = row.headlines.get(name)
    return None if metric is None else metric.value


def print_report(layout: StoreLayout, report: ExecutionReport) -> None:
    """A line a cell, then why there is none of some, by the cell's name."""
    console = screen()
    headings = ("test", "batch", *COLUMNS, "outcome", "run")
    rows = [_line(row) for row in report.rows]
    print_table(console, headings, rows, right=",".join(("batch", *COLUMNS)), whole="run,outcome")
    console.print("\n" + LEGEND)
    for row in report.rows:
        if row.outcome != "ok":
            why = row.judgement.reason or "no reason recorded"
            console.print(f"{how_answered(row.spec)}: {row.outcome}, {why} (run {row.run_id})", markup=False)
    if report.cancelled:
        console.print("Stopped by hand: the cells that were left were not started.")
    console.print(f"\nThe store: {layout.root}\nNext: oildrop show last, or oildrop site build --out oildrop-page")


def _line(row: RunRow) -> tuple[Any, ...]:
    from oildrop.rules.tracks import track_of
    from oildrop.suite.sweep import cell_of, means_of

    cell = cell_of(row.spec)
    numbers = [
        _text(_value(row, name), 1e3 if name.endswith("_p50") else 1.0, " ms" if name.endswith("_p50") else " t/s")
        for name in COLUMNS.values()
    ]
    if "pp" not in cell.test:  # What the one token of its prompt took is nobody's prefill.
        numbers[0] = "–"
    test = ", ".join(words for words in (cell.test, track_of(row.spec), means_of(row.spec.settings)) if words)
    return test, str(cell.batch), *numbers, outcome_text(row.outcome), row.run_id


def _text(value: float | int | None, factor: float, unit: str) -> str:
    return "–" if value is None else f"{show_number(value * factor)}{unit}"
