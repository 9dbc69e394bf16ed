"""Every page is clean HTML whose links arrive, whose tables can be read aloud and taken away as CSV."""

from __future__ import annotations

import csv
import functools
import itertools
import posixpath
import re
from collections import Counter
from urllib.parse import urlsplit

import pytest

FETCHING = {"src", "srcset", "poster", "data", "action", "formaction", "background", "ping", "manifest"}


@pytest.fixture(params=["every_outcome", "large"])
def site(request):
    return request.getfixturevalue(request.param)


def test_every_link_and_fragment_arrives(site):
    ids_of = functools.cache(lambda path: frozenset(site.ids(path)))
    for path, page in site.pages.items():
        ids = site.ids(path)
        assert not [name for name, count in Counter(ids).items() if count > 1], path
        for element in page.iter():
            for name in ("aria-labelledby", "aria-describedby"):
                for wanted in (element.get(name) or "").split():
                    assert wanted in ids, (path, wanted)
            href = element.get("href")
            if href is None or href == "data:,":
                continue
            parts = urlsplit(href)
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), parts.path)) if parts.path else path
            assert (site.root / target).is_file(), (path, href)
            if parts.fragment:
                assert parts.fragment in ids_of(target), (path, href)


def test_nothing_is_fetched_from_elsewhere_and_nothing_runs(site):
    for path, page in site.pages.items():
        for element in page.iter():
            tag = str(element.tag)
            assert tag not in ("script", "iframe", "object", "embed", "img", "form", "style"), (path, tag)
            assert not [name for name in element.attrib if name.startswith("on") or name == "style"], (path, tag)
            assert not FETCHING & set(element.attrib), (path, tag)
            if element.get("href"):
                assert not urlsplit(element.get("href")).netloc, (path, element.get("href"))
    style = site.text("style.css")
    assert "url(" not in style and "@import" not in style


def test_every_table_has_caption_scoped_headers_and_a_csv_with_as_many_rows(site):
    tables = 0
    for path, page in site.pages.items():
        rows_by_csv = Counter()
        waiting = 0
        for element in page.iter():
            if element.tag == "table" and element.get("class") == "times":
                continue  # repeats values of the table of metrics on the same page, which has its CSV
            if element.tag == "table":
                tables += 1
                assert not waiting, f"{path}: a table without a CSV link after it"
                caption = element.find("caption")
                assert caption is not None and "".join(caption.itertext()).strip(), path
                assert all(head.get("scope") == "col" for head in element.find("thead").iter("th")), path
                body = element.findall("tbody/tr")
                assert all(head.get("scope") == "row" for row in body for head in row.findall("th")), path
                assert all(row.findall("th") for row in body), path
                width = len(element.findall("thead/tr/th"))
                assert {len(list(row)) for row in body} == {width}, path
                waiting = len(body)
            if element.tag == "p" and element.get("class") == "csv":
                link = element.find("a")
                rows_by_csv[link.get("href")] += waiting
                if path.startswith("r/"):
                    assert link.text.startswith(("CSV: metrics of this run", "CSV: runs of this search")), path
                waiting = 0
        assert not waiting, f"{path}: a table without a CSV link after it"
        for href, count in rows_by_csv.items():
            with open(site.root / posixpath.dirname(path) / href, newline="", encoding="utf-8") as file:
                header, *rows = csv.reader(file)
            if path.startswith("r/") and "/searches/" not in href:  # the file holds the runs of other pages too
                rows = [row for row in rows if f"run-{row[0]}" in site.ids(path)]
            assert len(rows) == count, (path, href)
            assert {len(row) for row in rows} == {len(header)}, href
    assert tables > 20


def test_tables_scroll_inside_their_own_focusable_region(site):
    for path, page in site.pages.items():
        parents = {child: parent for parent in page.iter() for child in parent}
        for table in page.iter("table"):
            region = parents[table]
            assert (region.get("class"), region.get("role"), region.get("tabindex")) == ("scroll", "region", "0"), path
            assert region.get("aria-labelledby") == table.find("caption").get("id"), path


def test_every_page_has_one_main_heading_a_skip_link_and_a_language(site):
    for path, page in site.pages.items():
        assert page.get("lang") == "en"
        assert len(list(page.iter("h1"))) == 1, path
        levels = [int(e.tag[1]) for e in page.iter() if re.fullmatch("h[1-6]", str(e.tag))]
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels)), path
        first_link = next(page.iter("a"))
        assert first_link.get("href") == "#main"


def test_drawings_are_named_or_hidden(site):
    for path, page in site.pages.items():
        parents = {child: parent for parent in page.iter() for child in parent}
        for drawing in page.iter("svg"):
            if parents[drawing].tag != "svg":
                named = drawing.get("role") == "img" and drawing.get("aria-label")
                assert named or drawing.get("aria-hidden") == "true", path


def _luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_text_stands_out_in_light_dark_and_print(every_outcome):
    style = every_outcome.text("style.css")
    schemes = [dict(re.findall(r"--(\w+): (#\w+)", block)) for block in re.findall(r":root \{(.*?)\}", style, re.S)]
    assert len(schemes) == 3
    for scheme in schemes:
        for ink in ("ink", "soft", "link", "good", "near", "bad", "none"):
            for ground in ("paper", "card"):
                assert _contrast(scheme[ink], scheme[ground]) >= 4.5, (ink, ground, scheme[ink])
        assert _contrast(scheme["dot"], scheme["paper"]) >= 3
    assert _contrast("#000", "#fff") == pytest.approx(21)
