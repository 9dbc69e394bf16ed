"""The roofline picture: its lines lie where the numbers are, and a table says the same."""

from __future__ import annotations

import math
import re

import html5lib
import pytest

from oildrop.rules.roofs import Roof, Roofline
from oildrop.site.pages.roofline_chart import roofline_figure

BOTH = Roof(source="stated", flop_per_s=1e12, bytes_per_s=1e10)
"""Its ridge lies at 100 FLOP/byte."""


def lines(figure: str) -> list[tuple[float, float, float, float]]:
    found = re.findall(r'<line class="roof \w+" x1="([\d.]+)%" y1="([\d.]+)%" x2="([\d.]+)%" y2="([\d.]+)%"', figure)
    return [(float(x1), float(y1), float(x2), float(y2)) for x1, y1, x2, y2 in found]


def ends(figure: str, axis: str) -> tuple[float, float]:
    """Lowest and highest number that the ticks of an axis show, by their places."""
    ticks = re.findall(rf'<text class="{axis}" [^>]*>([^<]*)<', figure)
    powers = {"": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15}
    values = []
    for tick in ticks:
        text, _, prefix = tick.replace("&#8239;", "").partition(" ")
        values.append(float(text) * 10 ** powers[prefix])
    return min(values), max(values)


def test_slope_and_peak_meet_at_the_ridge_and_the_point_lies_under_them() -> None:
    figure = str(roofline_figure(Roofline(intensity=100.0, flop_per_s=1e11, roofs=(BOTH,))))
    slope, peak = lines(figure)
    (low_x, high_x), (low_y, high_y) = ends(figure, "x"), ends(figure, "y")
    at_ridge = 100 * math.log(100 / low_x) / math.log(high_x / low_x)
    at_peak = 100 - 100 * math.log(1e12 / low_y) / math.log(high_y / low_y)
    assert slope[2:] == pytest.approx((at_ridge, at_peak), abs=0.1)
    assert peak == pytest.approx((at_ridge, at_peak, 100.0, at_peak), abs=0.1)
    point = re.search(r'<circle class="front" cx="([\d.]+)%" cy="([\d.]+)%"', figure)
    assert point is not None
    below = 100 - 100 * math.log(1e11 / low_y) / math.log(high_y / low_y)
    assert (float(point[1]), float(point[2])) == pytest.approx((at_ridge, below), abs=0.1)


@pytest.mark.parametrize(
    ("roof", "drawn", "unknown"),
    [
        (BOTH, 2, 0),
        (Roof(source="measured", flop_per_s=1e12, bytes_per_s=None), 1, 3),
        (Roof(source="measured", flop_per_s=None, bytes_per_s=1e10), 1, 3),
    ],
)
def test_a_ceiling_that_is_not_known_is_not_drawn_and_said_to_be_unknown(roof: Roof, drawn: int, unknown: int) -> None:
    figure = str(roofline_figure(Roofline(intensity=10.0, flop_per_s=1e10, roofs=(roof,))))
    assert (len(lines(figure)), figure.count("not known")) == (drawn, unknown)
    html5lib.HTMLParser(strict=True).parseFragment(figure)


def test_the_table_and_the_name_of_the_picture_say_what_it_shows() -> None:
    figure = str(roofline_figure(Roofline(intensity=10.0, flop_per_s=2.5e10, roofs=(BOTH,))))
    text = re.sub(r"<[^>]+>", " ", figure)
    for shown in ("1.00 TFLOP/s", "10.0 GB/s", "100 GFLOP/s", "25.0 %"):
        assert shown in text
    label = re.search(r'aria-label="([^"]+)"', figure)
    assert label is not None
    assert label[1] == (
        "Roofline: 25.0 GFLOP/s at 10.0 FLOP/byte; stated 1.00 TFLOP/s and 10.0 GB/s, which allow 100 GFLOP/s there"
    )


def caption(found: Roofline) -> str:
    shown = re.search("<figcaption>(.*)</figcaption>", str(roofline_figure(found)))
    assert shown is not None
    return shown[1]


def test_a_point_of_decoding_says_so() -> None:
    found = Roofline(intensity=10.0, flop_per_s=2.5e10, roofs=(BOTH,), decoding=True)
    assert caption(found) == (
        "Roofline of decoding alone: one device did 25.0 GFLOP/s at 10.0 FLOP/byte, both by formula"
    )
    assert 'aria-label="Roofline of decoding alone: 25.0 GFLOP/s' in str(roofline_figure(found))


def test_a_point_over_a_slope_is_drawn_and_the_words_say_how_that_can_be() -> None:
    """At 10 FLOP/byte 10 GB/s allow 100 GFLOP/s; 200 are there."""
    measured = Roof(source="measured", flop_per_s=None, bytes_per_s=5e10)
    found = Roofline(intensity=10.0, flop_per_s=2e11, roofs=(BOTH, measured))
    figure = str(roofline_figure(found))
    point = re.search(r'<circle class="front" cx="([\d.]+)%" cy="([\d.]+)%"', figure)
    assert point is not None and 0 < float(point[2]) < 100
    assert f'<text x="{point[1]}%" y="{point[2]}%" class="e" dx="-9" dy="-.6em">this run' in figure  # off the slope
    assert "above the stated bandwidth's slope" in caption(found) and "200 %" in figure
    both = Roofline(intensity=10.0, flop_per_s=6e11, roofs=(BOTH, measured))
    assert "above the stated and the measured bandwidth" in caption(both)
