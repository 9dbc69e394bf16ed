"""What leaves a command: one JSON document, or tables and sentences for people."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TextIO

if TYPE_CHECKING:
    from rich.console import Console

PIPE_COLUMNS = 1000
"""Width where no screen limits it, so that a file or `grep` gets each row whole."""

OUTCOME_STYLES = {"ok": "green", "started": "cyan", "unsupported": "dim", "cancelled": "yellow", "withdrawn": "dim"}


def print_document(document: Mapping[str, Any]) -> None:
    """Write `document` as the one JSON document on stdout; NaN and infinities become their names."""
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    text = json.dumps(plain(document), indent=2, ensure_ascii=not utf8, allow_nan=False)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def plain(value: Any) -> Any:
    """`value` in the types that JSON has; records by their fields."""
    from pydantic import BaseModel

    from oildrop.rules.canonical import json_number

    if isinstance(value, BaseModel):
        return plain(value.model_dump(mode="python", by_alias=True))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, str | bool | int) or value is None:
        return value
    if isinstance(value, float):
        return json_number(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no JSON form")


def screen(stream: TextIO | None = None) -> Console:
    """A console on `stream` (stdout by default): colour only on a terminal, whole rows elsewhere."""
    from rich.console import Console

    file = stream or sys.stdout
    limited = file.isatty() or "COLUMNS" in os.environ
    width = None if limited else PIPE_COLUMNS
    return Console(file=file, markup=False, highlight=False, emoji=False, soft_wrap=False, width=width)


def print_table(
    console: Console, headings: Sequence[str], rows: Iterable[Sequence[Any]], *, right: str = "", whole: str = ""
) -> None:
    """Rows under headings.

    Args:
        right: Headings, comma-separated, of columns that hold numbers.
        whole: Headings, comma-separated, of columns that a narrow screen may not break, such as ids.
    """
    from rich.table import Table

    numbers, unbroken = right.split(","), whole.split(",")
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in headings:
        justify: Literal["left", "right"] = "right" if heading in numbers else "left"
        table.add_column(heading, justify=justify, no_wrap=heading in [*numbers, *unbroken], overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def outcome_text(outcome: str) -> Any:
    """An outcome's shape and word, coloured on a terminal."""
    from rich.text import Text

    from oildrop.rules.outcomes import MEANINGS

    mark = MEANINGS[outcome].mark if outcome in MEANINGS else "?"
    return Text(f"{mark} {outcome}", style=OUTCOME_STYLES.get(outcome, "red"))
