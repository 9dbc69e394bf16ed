"""`oildrop ingest`: bundles from elsewhere become runs of this store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oildrop.suite.cli import options
from oildrop.suite.cli.lazy import PlainCommand, make_app
from oildrop.suite.cli.numbers import count
from oildrop.suite.cli.output import print_document, screen

app = make_app()


@app.command(cls=PlainCommand, epilog="Example: oildrop ingest ../other/runs/*")
def ingest(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE...", help="Folders of runs (or their archives).")],
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Take bundles from elsewhere into the store and judge each under this rulebook.

    The same bundle again changes nothing; another one under the same run id is refused.
    """
    from oildrop.results.document import runs_document
    from oildrop.results.ingest import ingest_bundles
    from oildrop.results.layout import store_layout

    layout = store_layout(store)
    rows = ingest_bundles(layout, bundles)
    if as_json:
        print_document(runs_document(layout, rows))
        return
    from oildrop.suite.cli.runs import print_runs_table

    console = screen()
    print_runs_table(console, rows)
    console.print(f"\n{count(len(rows), 'bundle')} in {layout.root}")
