"""Tables as CSV (RFC 4180): exact values, and no text that a spreadsheet would run as a formula."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence

Cell = str | int | float | bool | None

LINE_END = "\r\n"

_RISKY = frozenset("=+-@\t\r\n")


def safe_text(text: str) -> str:
    """`text`; one that a spreadsheet would take for a formula gets a leading quote."""
    return "'" + text if text[:1] in _RISKY else text


class _Lines(list[str]):
    """Takes a writer's lines one by one."""

    def write(self, line: str) -> None:
        """Keep one line, its line end included."""
        self.append(line)


def csv_lines(rows: Iterable[Sequence[Cell]]) -> list[str]:
    """Each row as one record with its line end; None is an empty field, a float reads back the same."""
    lines = _Lines()
    csv.writer(lines, lineterminator=LINE_END).writerows(
        [[safe_text(value) if type(value) is str else value for value in row] for row in rows]
    )
    return lines


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Header and rows as one CSV file."""
    return "".join(csv_lines([header, *rows]))
