"""`oildrop runs`: the runs of a store, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from oildrop.suite.cli import options
from oildrop.suite.cli.lazy import PlainCommand, make_app
from oildrop.suite.cli.numbers import count
from oildrop.suite.cli.output import outcome_text, print_document, print_table, screen
from oildrop.suite.cli.parsing import unknown_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from oildrop.results.layout import StoreLayout
    from oildrop.results.rows import RunRow

app = make_app()


@app.command(cls=PlainCommand, epilog="Example: oildrop runs --outcome crash --limit 10")
def runs(
    benchmark: Annotated[
        str | None, typer.Option(metavar="NAME", show_default=False, help="Only runs of this benchmark.")
    ] = None,
    outcome: Annotated[
        str | None, typer.Option(metavar="OUTCOME", show_default=False, help="Only runs that ended so, such as ok.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, show_default=False, help="At most the newest N runs.")
    ] = None,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """The runs of a store, newest first, the bad ones beside the good.

    A run whose process died without recording an end is listed as lost.
    """
    from oildrop.results.ingest import refresh
    from oildrop.results.layout import store_layout
    from oildrop.results.views import list_runs

    _check_outcome(outcome)
    layout = store_layout(store)
    refresh(layout)
    rows = list_runs(layout, benchmark=benchmark, outcome=outcome, limit=limit)
    if benchmark is not None and not rows:
        check_benchmark(layout, benchmark)
    if as_json:
        from oildrop.results.document import runs_document

        print_document(runs_document(layout, rows))
    else:
        _print_runs(layout, rows, filtered=bool(benchmark or outcome))


def _check_outcome(outcome: str | None) -> None:
    from oildrop.rules.outcomes import MEANINGS

    if outcome is not None and outcome not in MEANINGS:
        raise unknown_name("outcome", outcome, MEANINGS)


def check_benchmark(layout: StoreLayout, benchmark: str) -> None:
    """Refuse a name that neither the rulebook nor any run of the store has."""
    from oildrop.results.views import list_runs
    from oildrop.rules.loading import load_rulebook

    known = {*load_rulebook().benchmarks, *(row.spec.benchmark for row in list_runs(layout))}
    if benchmark not in known:
        raise unknown_name("benchmark", benchmark, sorted(known))


def _print_runs(layout: StoreLayout, rows: Sequence[RunRow], *, filtered: bool) -> None:
    console = screen()
    if not rows:
        what = "no such runs" if filtered else "no runs yet"
        hint = "all of them: oildrop runs" if filtered else "make some: oildrop run"
        console.print(f"{what} in {layout.root}; {hint}")
        return
    print_runs_table(console, rows)
    console.print(f"\n{count(len(rows), 'run')} in {layout.root}; one of them: oildrop show RUN")


def print_runs_table(console: Console, rows: Sequence[RunRow]) -> None:
    """One line a run: how it ended, what it was, its headline or the reason why there is none."""
    from oildrop.suite.cli.headlines import what_came_of, what_was_run

    cells = [
        (
            row.run_id,
            outcome_text(row.outcome),
            what_came_of(row),
            what_was_run(row.spec),
        )
        for row in rows
    ]
    print_table(console, ("run", "outcome", "what came of it", "what was run"), cells, whole="run,outcome")
