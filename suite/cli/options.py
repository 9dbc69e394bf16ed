"""Options that several commands share, each with one wording."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Store = Annotated[
    Path | None,
    typer.Option(
        "--store", metavar="DIR", show_default=False, help="The store, else $OILDROP_STORE, else ./oildrop-store."
    ),
]


def option(name: str, metavar: str, text: str) -> typer.models.OptionInfo:
    """An option with a value whose default, where it has one, stands in `text`."""
    made: typer.models.OptionInfo = typer.Option(name, metavar=metavar, show_default=False, help=text)
    return made
