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
