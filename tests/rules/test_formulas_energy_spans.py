"""Energy of a phase's spans against closed forms, and that the phases of a window are the whole of it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oildrop.rules.evidence import Series
from oildrop.rules.formulas.energy import COUNTER, INTEGRAL, energy_by_counter, energy_by_integral
from oildrop.rules.formulas.energy_spans import after, cut, energy_in_spans

S = 1_000_000_000


def series(t_s: list[float], values: list[float]) -> Series:
    times = tuple(round(t * S) for t in t_s)
    return Series(meter="m", quantity="q", device="d", scope="device", t_ns=times, values=tuple(values))


TIMES = [0.1 * k for k in range(101)]


def test_two_spans_of_rising_power_have_the_area_under_their_lines() -> None:
    rising = series(TIMES, [20 + 10 * t for t in TIMES])  # 20 W at 0 s, 120 W at 10 s
    found = energy_in_spans(rising, INTEGRAL, [(1 * S, 3 * S), (6 * S, 7 * S)], gap_limit_s=2.0)
    # Mean powers of 40 W over 2 s and 85 W over 1 s.
    assert found.value == pytest.approx(2 * 40 + 85)
    assert found.sample_count == 21 + 11 and found.method == INTEGRAL


def test_a_counter_of_the_same_load_says_the_same() -> None:
    counter = series(TIMES, [20 * t + 5 * t**2 for t in TIMES])
    found = energy_in_spans(counter, COUNTER, [(1 * S, 3 * S), (6 * S, 7 * S)], gap_limit_s=2.0)
    assert found.value == pytest.approx(165) and found.method == COUNTER


@given(st.lists(st.floats(0.5, 9.5), min_size=1, max_size=5, unique=True), st.sampled_from([COUNTER, INTEGRAL]))
def test_phases_that_tile_a_window_add_up_to_it(edges_s: list[float], method: str) -> None:
    values = [20 * t + 5 * t**2 for t in TIMES] if method == COUNTER else [20 + 10 * t for t in TIMES]
    edges = [0, *sorted({round(edge * S) for edge in edges_s}), 10 * S]
    spans = list(pairwise(edges))
    one = series(TIMES, values)
    whole = (energy_by_counter if method == COUNTER else energy_by_integral)(one, (0, 10 * S))
    parts = [spans[0::2], spans[1::2]]
    found = [energy_in_spans(one, method, part, gap_limit_s=2.0) for part in parts if part]
    if all(each.value is not None for each in found):
        assert sum(each.value or 0.0 for each in found) == pytest.approx(whole.value, rel=1e-6)


def test_spans_shorter_than_two_samples_are_not_told_from_what_lies_beside_them() -> None:
    flat = series(TIMES, [50.0] * 101)
    short = energy_in_spans(flat, INTEGRAL, [(1 * S, 1 * S + S // 10)] * 3, gap_limit_s=2.0)
    assert short.value is None and short.reason == "spans of 0.1 s are too short for a meter that is read every 0.1 s"
    slow = energy_in_spans(flat, INTEGRAL, [(1 * S, 2 * S)], update_period_s=0.6, gap_limit_s=2.0)
    assert slow.value is None and "every 0.6 s" in str(slow.reason)


def test_a_span_before_the_first_sample_refuses_the_phase() -> None:
    late = series([t for t in TIMES if t >= 2], [50.0] * len([t for t in TIMES if t >= 2]))
    found = energy_in_spans(late, INTEGRAL, [(1 * S, 3 * S)], gap_limit_s=2.0)
    assert found.value is None and "the first sample came 1 s after" in str(found.reason)


def test_what_bears_on_a_span_is_one_sample_more_on_each_side() -> None:
    assert cut(series(TIMES, TIMES), (round(1.05 * S), round(1.35 * S))).values == pytest.approx(
        (1.0, 1.1, 1.2, 1.3, 1.4)
    )
    assert after(series(TIMES, TIMES), round(9.75 * S)).values == pytest.approx((9.8, 9.9, 10.0))
