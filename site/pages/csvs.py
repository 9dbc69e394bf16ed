"""Tables as CSV (RFC 4180): exact values, and no text that a spreadsheet would run as a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

Cell = str | int | float | bool | None

_RISKY = ("=", "+", "-", "@", "\t", "\r", "\n")


def safe_cell(value: Cell) -> Cell:
    """`value`; a text that a spreadsheet would take for a formula gets a leading quote."""
    return "'" + value if isinstance(value, str) and value.startswith(_RISKY) else value


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Header and rows as CSV; None is an empty field, a float is written so that it reads back the same."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([[safe_cell(value) for value in row] for row in rows])
    return out.getvalue()


def csv_line(row: Sequence[Cell]) -> str:
    """One line, with its line end."""
    return csv_text([str(safe_cell("" if value is None else value)) for value in row], ())
