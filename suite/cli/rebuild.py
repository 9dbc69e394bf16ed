"""`oildrop rebuild`: the index made anew from the bundles."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from oildrop.suite.cli import options
from oildrop.suite.cli.lazy import PlainCommand, make_app
from oildrop.suite.cli.numbers import count
from oildrop.suite.cli.output import print_document, screen

app = make_app()


@app.command(cls=PlainCommand)
def rebuild(store: options.Store = None, as_json: options.Json = False) -> None:
    """Make the store's index again from its bundles, judging every run anew.

    The bundles are the truth and stay as they are; this mends a truncated or lost index.
    """
    from oildrop.results.ingest import rebuild as rebuild_index
    from oildrop.results.layout import store_layout

    layout = store_layout(store)
    with _bar() as told:
        indexed = rebuild_index(layout, told)
    if as_json:
        print_document({"schema": "oildrop.rebuild/1", "store": layout.root, "runs": indexed})
    else:
        screen().print(f"{count(indexed, 'run')} indexed in {layout.root}")


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """A progress bar with an estimate on a terminal, nothing elsewhere; told the runs done and in all."""
    from rich.progress import Progress

    console = screen(sys.stderr)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("judging", total=None)

        def told(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield told
