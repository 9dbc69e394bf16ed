"""Sites built once for all tests of the page, from made-up runs."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree.ElementTree import Element

import html5lib
import pytest

from oildrop.site.pages.build import build_site

BUILT = "2026-11-22T12:34:56Z"


@pytest.fixture(scope="session")
def runs() -> ModuleType:
    """The module that makes up runs (`synthetic_runs.py` beside this file)."""
    return beside("synthetic_runs")


@pytest.fixture(scope="session")
def served() -> ModuleType:
    """The module that makes up served runs (`synthetic_served.py` beside this file)."""
    return beside("synthetic_served")


def beside(name: str) -> ModuleType:
    """A module of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class BuiltSite:
    """A built folder with the rows that went in, and its pages parsed."""

    root: Path
    rows: list[Any]
    pages: dict[str, Element]

    def ids(self, path: str) -> list[str]:
        """Every id on a page; of one that was not parsed, as its text has them."""
        if path in self.pages:
            return [id_ for element in self.pages[path].iter() if (id_ := element.get("id"))]
        return re.findall(r' id="([^"]*)"', self.text(path))

    def text(self, path: str) -> str:
        """One file as it stands."""
        return (self.root / path).read_text("utf-8")


def parse(path: Path) -> Element:
    """A page parsed by the HTML standard's algorithm; a parse error is a failure."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    document: Element = parser.parse(path.read_text("utf-8"))
    return document


def build(rows: list[Any], rulebook: Any, out: Path, *, most_shards: int) -> BuiltSite:
    """Build `rows` at `out` and parse its pages, of those of single runs the first `most_shards`."""
    build_site(rows, rulebook, out, built_utc=BUILT)
    shards = sorted(out.glob("r/*/index.html"))[most_shards:]
    paths = sorted(set(out.rglob("*.html")) - set(shards))
    return BuiltSite(root=out, rows=rows, pages={path.relative_to(out).as_posix(): parse(path) for path in paths})


@pytest.fixture(scope="session")
def every_outcome(
    runs: ModuleType, served: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BuiltSite]:
    """The site of a small store in which every outcome stands, of trainings and of served runs."""
    rows = [*served.served_rows(runs.system()), *runs.one_of_each()]
    rulebook = served.with_served(runs.rulebook())
    yield build(rows, rulebook, tmp_path_factory.mktemp("site") / "page", most_shards=99)


@pytest.fixture(scope="session")
def large(runs: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BuiltSite]:
    """The site of 1 300 runs: long tables go to pages of their own."""
    yield build(
        runs.many_rows(1300, machines=10), runs.rulebook(), tmp_path_factory.mktemp("large") / "page", most_shards=5
    )
