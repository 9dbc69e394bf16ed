"""One line a measured figure, and the table that `make perf` prints of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

VERDICTS = {True: "holds", False: "FAILS", None: "unresolved"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure with its 95 % interval and the bound that it should keep.

    Attributes:
        name: What was measured, and for a ratio of what to what.
        value: The estimate, in `unit`.
        low: Lower end of the 95 % interval, in `unit`.
        high: Upper end of the 95 % interval, in `unit`.
        count: Independent measurements, or pairs, behind the estimate.
        at_least: Bound that the value must reach; None where there is none.
        at_most: Bound that the value must not pass; None where there is none.
    """

    name: str
    value: float
    low: float
    high: float
    unit: str
    count: int
    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        """Refuse an interval that does not hold its estimate."""
        if not self.low <= self.value <= self.high:
            raise ValueError(f"{self.name}: {self.value} lies outside its interval {self.low} to {self.high}")

    @property
    def holds(self) -> bool | None:
        """True when the whole interval keeps the bounds, False when none of it does, None when it cannot say."""
        lower = float("-inf") if self.at_least is None else self.at_least
        upper = float("inf") if self.at_most is None else self.at_most
        if lower <= self.low and self.high <= upper:
            return True
        return False if self.high < lower or upper < self.low else None

    @property
    def bound(self) -> str:
        """The bounds in words; empty where there are none."""
        low = "" if self.at_least is None else f">= {self.at_least:.4g}"
        high = "" if self.at_most is None else f"<= {self.at_most:.4g}"
        return " and ".join(filter(None, (low, high)))


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A figure that this machine cannot give, and why."""

    name: str
    reason: str


class Broken(Skipped):
    """A figure whose measurement ended with an error; the others are measured all the same."""


def print_table(rows: Iterable[Row | Skipped], console: Console) -> None:
    """Print `rows` with their intervals and verdicts."""
    table = Table("what", "value", "95 % interval", "unit", "n", "bound", "verdict")
    for row in rows:
        if isinstance(row, Skipped):
            verdict = "BROKEN" if isinstance(row, Broken) else "skipped"
            table.add_row(row.name, "", row.reason, "", "", "", verdict)
            continue
        verdict = VERDICTS[row.holds] if row.bound else ""
        interval = f"{row.low:.4g} to {row.high:.4g}"
        table.add_row(row.name, f"{row.value:.4g}", interval, row.unit, str(row.count), row.bound, verdict)
    console.print(table)
