"""`oildrop history`: whether a configuration changed from session to session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from oildrop.suite.cli import options
from oildrop.suite.cli.lazy import PlainCommand, make_app
from oildrop.suite.cli.output import print_document, print_table, screen

if TYPE_CHECKING:
    from oildrop.results.histories import ConfigurationHistory

app = make_app()

SPEC = ("benchmark", "tier", "backend", "division", "kind", "workload_id", "system_id", "software_id")


@app.command(cls=PlainCommand, epilog="Example: oildrop history lm-pretrain")
def history(
    benchmark: Annotated[
        str | None, typer.Argument(metavar="[BENCHMARK]", show_default=False, help="Only this benchmark's.")
    ] = None,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Whether the headline metric of a configuration changed from one session to the next.

    Every session in which all runs succeeded is one value. A configuration that did not change shows a change
    with a chance of 5 % at most, however many sessions it has.
    """
    from oildrop.results.histories import histories
    from oildrop.results.ingest import refresh
    from oildrop.results.layout import store_layout
    from oildrop.results.views import list_runs
    from oildrop.suite.cli.runs import check_benchmark

    layout = store_layout(store)
    refresh(layout)
    rows = list_runs(layout, benchmark=benchmark)
    if benchmark is not None and not rows:
        check_benchmark(layout, benchmark)
    found = histories(rows)
    if as_json:
        documents = [_document(each) for each in found]
        print_document({"schema": "oildrop.history/1", "store": layout.root, "histories": documents})
        return
    console = screen()
    if not found:
        console.print(f"No configuration in {layout.root} has a headline metric yet; `oildrop run` makes runs.")
        return
    print_table(console, ("benchmark", "backend", "workload", "system", "sessions", "changes"), map(_cells, found))
    console.print()
    for each in found:
        for sentence in each.history.sentences:
            console.print(f"{_name(each)}: {sentence}.")


def _document(each: ConfigurationHistory) -> dict[str, Any]:
    return {**{name: getattr(each.row.spec, name) for name in SPEC}, **each.history.model_dump(mode="json")}


def _cells(each: ConfigurationHistory) -> tuple[str, ...]:
    spec, history_ = each.row.spec, each.history
    place = f"{spec.benchmark} {spec.tier}"
    counts = (str(len(history_.sessions)), str(len(history_.changes)))
    return (place, spec.backend, spec.workload_id[:8], spec.system_id[:8], *counts)


def _name(each: ConfigurationHistory) -> str:
    spec = each.row.spec
    return f"{spec.benchmark} {spec.tier} {spec.backend} {spec.workload_id[:8]} on {spec.system_id[:8]}"
