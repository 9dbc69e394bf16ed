"""`oildrop export`: runs in the forms that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oildrop.suite.cli import options
from oildrop.suite.cli.lazy import PlainCommand, make_app
from oildrop.suite.cli.numbers import count
from oildrop.suite.cli.output import print_document, screen
from oildrop.suite.cli.parsing import unknown_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oildrop.results.layout import StoreLayout
    from oildrop.results.rows import RunRow

app = make_app()

FORMATS = ("bundle", "json", "csv", "parquet", "mllog")
EVERY_RUN = "all"


@app.command(cls=PlainCommand, epilog="Example: oildrop export all --format csv --out runs.csv")
def export(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Run ids, unique beginnings, last, or all.")],
    format_name: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="bundle, json, csv, parquet or mllog.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="PATH", help="Where to write it.")],
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Write runs as bundles, JSON, CSV, Parquet or an MLPerf-style log.

    A bundle leaves without its private output.log, whose hash stays in the seal.
    """
    if format_name not in FORMATS:
        raise unknown_name("format", format_name, FORMATS)
    from oildrop.results.export import export_runs
    from oildrop.results.layout import store_layout

    layout = store_layout(store)
    rows = _chosen(layout, runs)
    export_runs(layout, rows, format_name, out)
    ids = [row.run_id for row in rows]
    if as_json:
        print_document({"schema": "oildrop.export/1", "format": format_name, "out": out, "run_ids": ids})
    else:
        screen().print(f"{count(len(ids), 'run')} as {format_name} in {out}")


def _chosen(layout: StoreLayout, names: Sequence[str]) -> list[RunRow]:
    """The named runs, each once, in the order named."""
    from oildrop.results.ingest import refresh
    from oildrop.results.views import find_run, list_runs

    refresh(layout)
    if EVERY_RUN in names:
        return list_runs(layout)
    rows = {row.run_id: row for row in (find_run(layout, name) for name in names)}
    return list(rows.values())
