"""Numbers, names and addresses as people and spreadsheets read them."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oildrop.site.pages.addresses import board_slug, run_address, slug, system_address
from oildrop.site.pages.csvs import csv_text
from oildrop.site.pages.formats import number, scaled, tick_text, time_element


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (0.0, "0"), (7, "7"), (21.34, "21.3"), (9.996, "10.0"), (999.6, "1_000"), (15234.0, "15_200"),
        (0.00123456, "0.00123"), (-3.14159, "-3.14"), (1e-5, "1.00 × 10⁻⁵"), (2.5e9, "2.50 × 10⁹"), (100.0, "100"),
        (123456789, "123_000_000"), (0.0001, "0.000100"), (12345, "12_300"),
    ],
)  # fmt: skip
def test_three_significant_digits_in_groups(value, text):
    assert number(value) == text.replace("_", "\N{NARROW NO-BREAK SPACE}")


@given(st.floats(1e-4, 9.99e8))
def test_shown_numbers_are_within_half_a_unit_of_the_third_digit(value):
    shown = float(number(value).replace("\N{NARROW NO-BREAK SPACE}", ""))
    assert shown == pytest.approx(value, rel=0.00501)


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.973, "1", ("97.3", "%")), (2**30, "bytes", ("1.00", "GiB")), (1023, "bytes", ("1_020", "bytes")),
        (3.2e12, "FLOP/s", ("3.20", "TFLOP/s")), (5.0, "s", ("5.00", "s")), (0.0, "bytes", ("0", "bytes")),
    ],
)  # fmt: skip
def test_sizes_that_people_read(value, unit, shown):
    assert scaled(value, unit) == (shown[0].replace("_", "\N{NARROW NO-BREAK SPACE}"), shown[1])


def test_ticks_have_no_more_decimals_than_they_need():
    assert [tick_text(value) for value in (0.0, 0.5, 20.0, 2e-5, 1e9)] == ["0", "0.5", "20", "2 × 10⁻⁵", "1 × 10⁹"]


def test_times_are_utc_and_other_text_is_left_alone():
    assert time_element("2026-11-22T12:00:01.5Z") == (
        '<time datetime="2026-11-22T12:00:01Z">2026-11-22 12:00:01</time>'
    )
    assert time_element("<b>") == "&lt;b&gt;"
    assert time_element("2026-11-22T12:00:01+02:00") == "2026-11-22T12:00:01+02:00"


def test_addresses_are_a_contract():
    # sha256("20261122-1") starts with a60, by sha256sum
    assert run_address("20261122-1") == "r/a60/index.html#run-20261122-1"
    assert system_address("0123456789abcdef") == "systems/0123456789abcdef.html"
    assert board_slug("lm-pretrain", "nano") == "lm-pretrain-nano"


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), unique=True, min_size=2, max_size=6))
def test_no_two_boards_share_a_file_and_none_leaves_its_folder(places):
    names = [board_slug(*place) for place in places]
    assert len(set(names)) == len(names)
    assert all("/" not in name and ".." not in name and name == name.lower() for name in names)


def test_slugs_of_plain_names_are_themselves():
    assert slug("target_missed") == "target_missed"
    assert slug("../x") != "../x" and slug("A").startswith("x-")


@given(
    st.lists(
        st.tuples(st.text(st.characters(codec="utf-8", exclude_characters="\0")), st.floats(allow_nan=False)),
        max_size=5,
    )
)
def test_csv_reads_back_the_same_but_for_the_quote_before_formulas(rows):
    header, *found = csv.reader(io.StringIO(csv_text(("text", "value"), rows), newline=""))
    assert header == ["text", "value"]
    for (text, value), (text_back, value_back) in zip(rows, found, strict=True):
        assert float(value_back) == value
        assert text_back == ("'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") and text else text)
