"""What every page needs: the rulebook, the time of building, templates, and where files go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from oildrop.results.costs import Economics
from oildrop.rules.ceilings import Ceilings, Key
from oildrop.rules.rulebook import Rulebook
from oildrop.site.pages.csvs import Cell, csv_text
from oildrop.site.pages.output import Output
from oildrop.site.pages.rendering import render

ROWS_A_PAGE = 500
"""Most rows of one table of runs; more go on to further pages."""

ROWS_ON_INDEX = 200
"""Most runs of one benchmark and tier that stand on the index itself."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """One build: what all pages share, and the folder that they are written to.

    Attributes:
        economics: What runs are priced by; None where nobody named prices.
        run_lines: CSV lines by run id, as a run stands in several files.
        ceilings: What calibrations of the store measured, by whom it is to be held against.
    """

    rulebook: Rulebook
    built_utc: str
    output: Output
    economics: Economics | None = None
    run_lines: dict[str, str] = field(default_factory=dict)
    ceilings: Mapping[Key, Ceilings] = field(default_factory=dict)

    def page(self, path: str, template: str, values: Mapping[str, object]) -> None:
        """Render `template` to `path`; links inside are relative, so the folder may be moved anywhere."""
        shared = {"root": "../" * path.count("/"), "path": path, "built_utc": self.built_utc}
        self.output.write(path, render(template, {**values, **shared}))

    def csv(self, path: str, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
        """Write a table's values to `path`."""
        self.output.write(path, csv_text(header, rows))
