"""`oildrop run`: plan, measure, and say how it went."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oildrop.rules.errors import UsageError
from oildrop.suite.cli import options, parsing
from oildrop.suite.cli.lazy import PlainCommand, make_app
from oildrop.suite.cli.options import option
from oildrop.suite.cli.output import print_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oildrop.results.layout import StoreLayout
    from oildrop.suite.execute import ExecutionReport
    from oildrop.suite.planning import PlannedSet

app = make_app()

EXIT_SOME_FAILED = 1
EXIT_UNSUPPORTED = 3


@app.command(cls=PlainCommand, epilog="Exit code 0: all ok; 1: some ended otherwise; 3: every run unsupported.")
def run(
    benchmarks: Annotated[
        list[str] | None,
        typer.Argument(metavar="[BENCHMARK]...", show_default=False),
    ] = None,
    suite: Annotated[str | None, option("--suite", "S", "Benchmarks run together (default).")] = None,
    tier: Annotated[str | None, option("--tier", "T", "Size of the benchmarks (nano).")] = None,
    backend: Annotated[str, option("--backend", "B", "Framework and device, as torch-cpu (auto).")] = "auto",
    runs: Annotated[int | None, typer.Option("--runs", metavar="N", min=1, show_default=False,
        help="Runs a benchmark (its minimum).")] = None,
    scenario: Annotated[str | None, option("--scenario", "S",
        "How requests arrive; also --rate R, --concurrency N.")] = None,
    rate: Annotated[float | None, typer.Option("--rate", hidden=True)] = None,
    concurrency: Annotated[str | None, typer.Option("--concurrency", hidden=True)] = None,
    endpoint: Annotated[str | None, option("--endpoint", "URL",
        "For lm-serve; also --model --api --tokenizer --system.")] = None,
    model: Annotated[str | None, typer.Option("--model", hidden=True)] = None,
    api: Annotated[str | None, typer.Option("--api", hidden=True)] = None,
    tokenizer: Annotated[Path | None, typer.Option("--tokenizer", hidden=True)] = None,
    system: Annotated[Path | None, typer.Option("--system", hidden=True)] = None,
    seeds: Annotated[str | None, option("--seeds", "K,K", "These seed numbers; such runs are never ranked.")] = None,
    settings: Annotated[list[str] | None, option("--set", "KEY=VALUE", "Change a setting (repeatable).")] = None,
    division: Annotated[str, option("--division", "D", "Rules: closed or open (closed).")] = "closed",
    timeout: Annotated[float | None, option("--timeout", "S", "Deadline of a run in seconds.")] = None,
    memory_limit: Annotated[str | None, option("--memory-limit", "BYTES", "Most memory, as 2GiB.")] = None,
    max_restarts: Annotated[int, option("--max-restarts", "M",
        "Resume after a crash M times; also --keep-weights DIR.")] = 0,
    keep_weights: Annotated[Path | None, typer.Option("--keep-weights", hidden=True)] = None,
    note: Annotated[str | None, option("--note", "TEXT", "Words kept with each run.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be run; write nothing.")] = False,
    store: options.Store = None,
    as_json: options.Json = False,
) -> int:  # fmt: skip
    """Measure: run each BENCHMARK (else the suite); keep and judge every run."""
    from oildrop.results.layout import store_layout
    from oildrop.suite.planning import plan
    from oildrop.suite.request import RunRequest

    request = RunRequest(
        benchmarks=tuple(benchmarks or ()),
        suite=suite,
        tier=tier,
        backend=backend,
        runs=runs,
        seeds=None if seeds is None else parsing.parse_seeds(seeds),
        changes=parsing.parse_settings(settings or ()),
        division=division,
        timeout_s=parsing.parse_seconds("--timeout", timeout),
        memory_limit_bytes=None if memory_limit is None else parsing.parse_bytes("--memory-limit", memory_limit),
        note=note,
        max_restarts=max_restarts,
        keep_weights=None if keep_weights is None or dry_run else parsing.make_folder("--keep-weights", keep_weights),
        scenario=scenario,
        rate_per_s=parsing.parse_rate(rate),
        concurrency=() if concurrency is None else parsing.parse_counts("--concurrency", concurrency),
        server=parsing.parse_server(endpoint, model=model, api=api, tokenizer=tokenizer, system=system),
    )
    if max_restarts < 0:
        raise UsageError(f"--max-restarts {max_restarts} is under 0; give how often ranks may start again")
    layout = store_layout(store)
    planned = plan(request, layout, create=not dry_run)
    if dry_run:
        from oildrop.suite.cli import plans

        plans.show_plan(planned, layout, as_json=as_json)
        return 0
    return measure(planned, layout, as_json=as_json)


def measure(planned: Sequence[PlannedSet], layout: StoreLayout, *, as_json: bool) -> int:
    """Carry out what was planned, say how it went, and give the exit code."""
    from oildrop.results.document import runs_document
    from oildrop.suite.cli import progress, reports
    from oildrop.suite.execute import execute

    with progress.make_progress(progress.stderr_console(), len(planned)) as shown:
        report = execute(list(planned), layout, shown)
    document = runs_document(layout, report.rows)
    if as_json:
        print_document(document)
    else:
        reports.print_report(layout, report, document)
    return exit_code(report)


def exit_code(report: ExecutionReport) -> int:
    """0 when all runs are `ok`, 3 when every one is `unsupported`, else 1 (Ctrl-C too).

    The probes of a search do not matter: that some rate is missed is what they are for.
    """
    outcomes = {row.outcome for row in report.rows if row.spec.kind != "probe"}
    if report.cancelled:
        return EXIT_SOME_FAILED
    if outcomes == {"unsupported"}:
        return EXIT_UNSUPPORTED
    return 0 if outcomes == {"ok"} else EXIT_SOME_FAILED
