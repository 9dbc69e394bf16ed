"""Charts put numbers where they belong: ticks by hand, positions by arithmetic."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oildrop.rules.digest import Trace
from oildrop.rules.phases import PhaseSpan
from oildrop.site.pages.axes import axis_over, nice_step
from oildrop.site.pages.charts import strip, strip_axis
from oildrop.site.pages.line_charts import LineChart, draw_lines
from oildrop.site.pages.phase_bars import phase_bars
from oildrop.site.pages.run_charts import rates, thinned, trace_charts


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
    # x from 0 to 10 over 999 units, y from 0 to 2 over 500 units, downwards; to the nearest whole one
    assert points_of(drawn) == [(0, 0), (500, 250), (999, 375)]
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
    assert points_of(drawn) == [(0, 500), (500, 250), (999, 0)]


def test_loss_that_was_no_number_is_marked():
    ((drawn, _),) = draw_lines([chart([0.0, 1.0], [2.0, 1.0], broken_at=(4.0,))])
    assert '<text class="broken" x="100.0%" y="0" dy="1em">&#8599;</text>' in drawn
    assert points_of(drawn)[1] == (250, 250)


def test_strip_places_dots_interval_and_estimate():
    axis = axis_over((8.0, 10.0))
    drawn = str(strip([8.0, 10.0], axis, estimate=9.0, interval=(8.5, 9.5)))
    assert re.findall(r'<circle cx="([\d.]+)%"', drawn) == ["80.00", "100.00"]
    assert 'class="ci" x="85.00%" width="10.00%"' in drawn
    assert 'class="est" x1="90.00%" x2="90.00%"' in drawn
    assert re.findall(r">([\d.]+)</text>", str(strip_axis(axis))) == ["0", "2", "4", "6", "8", "10"]


def spans(*times_s):
    return [PhaseSpan(name=name, start_ns=int(start * 1e9), stop_ns=int(stop * 1e9)) for name, start, stop in times_s]


def bars_of(markup: str) -> list[tuple[str, list[tuple[int, int]], str]]:
    """Name, (start, width) of each block, and seconds of each phase."""
    found = re.findall(r"<dt>(.*?)</dt>.*?<path d=\"(.*?)\"/>.*?<span class=\"n\">(.*?)</span>", markup)
    blocks = [
        [(int(at), int(width)) for at, width in re.findall(r"M *(\d+),5h *(\d+) *", path)] for _, path, _ in found
    ]
    return [(name, each, seconds) for (name, _, seconds), each in zip(found, blocks, strict=True)]


def test_phase_blocks_lie_where_their_time_lies():
    (drawn,) = phase_bars([spans(("train", 2.5, 5), ("eval", 5, 5.5), ("train", 9, 10))])
    # 10 s over 999 units: 2.5 s to 5 s begins at 249.75 and is 249.75 wide and a hair, so that none vanishes
    assert bars_of(drawn) == [("train", [(249, 250), (899, 100)], "3.50 s"), ("eval", [(499, 50)], "0.50 s")]


def test_phases_of_runs_drawn_together_are_those_drawn_alone():
    runs = [
        spans(("init", 0, 1), ("train", 1, 2), ("eval", 2, 2), ("train", 2, 3)),
        [],
        spans(("train", 0, 4), ("init", 4, 5)),
        spans(("odd <phase>", 0, 0)),
    ]
    drawn = phase_bars(runs)
    assert drawn == [markup for run in runs for markup in phase_bars([run])]
    assert [[name for name, _, _ in bars_of(each)] for each in drawn] == [
        ["init", "train", "eval"], [], ["train", "init"], ["odd &lt;phase&gt;"]
    ]  # fmt: skip
    assert phase_bars([]) == []


def test_rates_of_a_running_total_leave_out_steps_back():
    times = np.array([0.0, 1.0, 3.0, 4.0, 4.0, 10.0, 12.0])
    found = rates(times, np.array([0.0, 2.0, 6.0, 5.0, 7.0, 9.0, 10.0]), np.array([0, 5]))
    nan = math.nan
    np.testing.assert_equal(found, [nan, 2.0, 2.0, nan, nan, nan, 0.5])


def trace(quantity, values, device="d"):
    times = tuple(float(at) for at in range(len(values)))
    return Trace(meter="m", quantity=quantity, device=device, scope="node", time_s=times, values=tuple(values))


def test_traces_are_drawn_as_levels_or_rates_in_order_and_power_goes_before_energy():
    first = [
        trace("cpu_s", (0.0, 2.0, 1.0, 2.5)),
        trace("energy_j", (0.0, 7.0)),
        trace("power_w", (5.0, 6.0, 7.0)),
        trace("temperature_c", (40.0, 41.0)),
        trace("rss_bytes", ()),
        trace("busy_fraction", (0.5,)),
    ]
    second = [trace("energy_j", (0.0, 7.0, 14.0))]
    drawn = trace_charts([first, [], second])
    found = [[(chart.what, chart.xs.tolist(), chart.ys.tolist()) for chart, _ in charts] for charts in drawn]
    assert found == [
        [("Power of d", [0.0, 1.0, 2.0], [5.0, 6.0, 7.0]), ("Cores in use of d", [1.0, 3.0], [2.0, 1.5])],
        [],
        [("Power from the energy counter of d", [1.0, 2.0], [7.0, 7.0])],
    ]
    assert drawn[0][0][1] == "meter m, scope node"


def test_thinned_traces_keep_the_mean_of_each_bin():
    values = np.arange(250.0)
    thin = thinned(values)
    assert len(thin) == 84 and thin[0] == 1.0 and thin[-1] == 249.0
    assert thinned(values[:120]) is not thin and len(thinned(values[:120])) == 120
