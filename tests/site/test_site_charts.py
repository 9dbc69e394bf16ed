"""Charts put numbers where they belong: ticks by hand, positions by arithmetic."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oildrop.site.pages.axes import axis_over, nice_step
from oildrop.site.pages.charts import spans_bar, strip, strip_axis
from oildrop.site.pages.line_charts import LineChart, draw_lines
from oildrop.site.pages.run_charts import rates, thinned


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ((21.3, 22.1), (0, 5, 10, 15, 20, 25)),
        ((0.49, 2.1), (0, 0.5, 1, 1.5, 2, 2.5)),
        ((0.3, 0.3), (0, 0.1, 0.2, 0.3)),
        ((0.0,), (0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        ((-3.0, 8.0), (-5, 0, 5, 10)),
        ((1.0, 1000.0), (1, 10, 100, 1000)),
    ],
)
def test_ticks_are_round_numbers_that_hold_the_values(values, ticks):
    assert axis_over(values).ticks == pytest.approx(ticks)


@given(st.lists(st.floats(1e-9, 1e12), min_size=1, max_size=5), st.booleans())
def test_axis_holds_every_value_between_its_ends(values, from_zero):
    axis = axis_over(values, from_zero=from_zero)
    assert axis.low < axis.high and axis.low <= min(values) * (1 + 1e-6) and max(values) <= axis.high * (1 + 1e-6)
    assert 2 <= len(axis.ticks) <= 12
    assert all(0 <= axis.share(value) <= 1 for value in values)


@given(st.floats(1e-9, 1e12), st.integers(2, 8))
def test_steps_are_one_two_or_five_and_never_too_many(span, count):
    step = nice_step(span, count)
    mantissa = step / 10 ** math.floor(math.log10(step) + 1e-9)
    assert any(mantissa == pytest.approx(wanted) for wanted in (1, 2, 5, 10))
    assert span / count * (1 - 1e-6) <= step < 2.6 * span / count


def chart(xs, ys, **other):
    return LineChart(xs=np.array(xs), ys=np.array(ys), what="x", unit="n", x_label="s", y_label="n", **other)


def points_of(drawn: str) -> list[tuple[int, int]]:
    numbers = [int(number) for number in re.search(r'points="([\d ]*)"', drawn)[1].split()]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def test_line_goes_through_its_points_and_the_target_stands_at_its_height():
    ((drawn, says),) = draw_lines([chart([0.0, 5.0, 10.0], [2.0, 1.0, 0.5], target=0.5)])
    # x from 0 to 10 over 1000 units, y from 0 to 2 over 500 units, downwards
    assert points_of(drawn) == [(0, 0), (500, 250), (1000, 375)]
    assert 'class="target" x1="0" x2="100%" y1="75.0%" y2="75.0%"' in drawn
    assert says == "x, 0.500 to 2.00 n; target 0.500"


def test_charts_drawn_together_are_those_drawn_alone():
    charts = [
        chart([0.0, 1.0, 2.0], [1.0, 10.0, 100.0]),
        chart([1.0], [3.0], broken_at=(2.0,)),
        chart([0.0, 4.0], [-1.0, 3.0], target=0.1),
        chart([0.5, 0.7, 5e5], [1e-9, 1e9, 1.0]),
    ]
    assert draw_lines(charts) == [drawn for one in charts for drawn in draw_lines([one])]
    assert draw_lines([]) == []


def test_wide_ranges_are_logarithmic():
    ((drawn, _),) = draw_lines([chart([0.0, 1.0, 2.0], [1.0, 10.0, 100.0])])
    assert points_of(drawn) == [(0, 500), (500, 250), (1000, 0)]


def test_loss_that_was_no_number_is_marked():
    ((drawn, _),) = draw_lines([chart([0.0, 1.0], [2.0, 1.0], broken_at=(4.0,))])
    assert '<text class="broken" x="100.0%" y="0" dy="1em">↗</text>' in drawn
    assert points_of(drawn)[1] == (250, 250)


def test_strip_places_dots_interval_and_estimate():
    axis = axis_over((8.0, 10.0))
    drawn = str(strip([8.0, 10.0], axis, estimate=9.0, interval=(8.5, 9.5)))
    assert re.findall(r'<circle cx="([\d.]+)%"', drawn) == ["80.00", "100.00"]
    assert 'class="ci" x="85.00%" width="10.00%"' in drawn
    assert 'class="est" x1="90.00%" x2="90.00%"' in drawn
    assert re.findall(r">([\d.]+)</text>", str(strip_axis(axis))) == ["0", "2", "4", "6", "8", "10"]


def test_phase_blocks_lie_where_their_time_lies():
    # 10 s over 1000 units: 2.5 s to 5 s begins at 250 and is 250 (and a hair) wide
    assert 'd="M250,5h251M900,5h101"' in spans_bar(
        [(2_500_000_000, 5_000_000_000), (9_000_000_000, 10_000_000_000)], 10**10
    )
    assert spans_bar([(0, 0)], 0) == ""


def test_rates_of_a_running_total_leave_out_steps_back():
    times, found = rates(np.array([0.0, 1.0, 3.0, 4.0, 4.0]), np.array([0.0, 2.0, 6.0, 5.0, 7.0]))
    assert times.tolist() == [1.0, 3.0] and found.tolist() == [2.0, 2.0]


def test_thinned_traces_keep_the_mean_of_each_bin():
    values = np.arange(250.0)
    thin = thinned(values)
    assert len(thin) == 84 and thin[0] == 1.0 and thin[-1] == 249.0
    assert thinned(values[:120]) is not thin and len(thinned(values[:120])) == 120
