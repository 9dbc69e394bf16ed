"""What every page needs: the rulebook, the time of building, templates, and where files go."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources

from jinja2 import DictLoader, Environment, StrictUndefined, Template

from oildrop.rules.rulebook import Rulebook
from oildrop.site.pages import formats, labels
from oildrop.site.pages.csvs import Cell, csv_text
from oildrop.site.pages.output import Output

ROWS_A_PAGE = 500
"""Most rows of one table of runs; more go on to further pages."""

ROWS_ON_INDEX = 200
"""Most runs of one benchmark and tier that stand on the index itself."""


@functools.cache
def environment() -> Environment:
    """Templates of the `templates` folder, compiled once, with autoescape on."""
    folder = resources.files("oildrop.site.pages.templates")
    sources = {entry.name: entry.read_text("utf-8") for entry in folder.iterdir() if entry.name.endswith(".j2")}
    env = Environment(
        loader=DictLoader(sources), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    env.filters |= {"number": formats.number, "time": formats.time_element, "count": formats.count_text}
    env.globals |= {"badge": labels.outcome_badge, "outcome_text": labels.outcome_text, "tally": labels.tally_text}
    return env


def style_sheet() -> str:
    """The one style sheet."""
    return resources.files("oildrop.site.pages.templates").joinpath("style.css").read_text("utf-8")


@dataclass(frozen=True, kw_only=True)
class Site:
    """One build: what all pages share, and the folder that they are written to.

    Attributes:
        run_lines: CSV lines by run id, as a run stands in several files.
    """

    rulebook: Rulebook
    built_utc: str
    output: Output
    run_lines: dict[str, str] = field(default_factory=dict)

    def template(self, name: str) -> Template:
        """A compiled template."""
        return environment().get_template(name)

    def page(self, path: str, template: str, values: Mapping[str, object]) -> None:
        """Render `template` to `path`; links inside are relative, so the folder may be moved anywhere."""
        root = "../" * path.count("/")
        text = self.template(template).render(values, root=root, path=path, built_utc=self.built_utc)
        self.output.write(path, text)

    def csv(self, path: str, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
        """Write a table's values to `path`."""
        self.output.write(path, csv_text(header, rows))
