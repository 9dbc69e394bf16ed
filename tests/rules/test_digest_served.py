"""What a page draws of requests: quantiles against numpy's, the slowest of each stretch by hand, failures last."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oildrop.rules.digest_served import BINS, _slowest, quantiles
from oildrop.rules.evidence import RequestTable
from oildrop.rules.served import Served

S = 10**9


def table(rows: list[tuple[float, float | None]]) -> RequestTable:
    """Requests as (scheduled, latency) in seconds; a latency of None failed."""
    count = len(rows)
    scheduled = tuple(round(at * S) for at, _ in rows)
    last = tuple(None if took is None else round((at + took) * S) for at, took in rows)
    return RequestTable(
        index=tuple(range(count)), query=tuple(range(count)), scheduled_ns=scheduled, issued_ns=scheduled,
        first_ns=last, last_ns=last, input_tokens=(1,) * count, output_tokens=(1,) * count,
        expected_tokens=(1,) * count, outcome=tuple("cut" if took is None else "ok" for _, took in rows),
        gaps_ns=((),) * count, tokens=((),) * count,
    )  # fmt: skip


@given(st.lists(st.floats(min_value=0, max_value=1e3), min_size=1, max_size=300))
def test_quantiles_are_those_of_nearest_rank(values: list[float]) -> None:
    shares = np.arange(1, 101) / 100
    expected = np.quantile(values, shares, method="inverted_cdf")
    # A hundredth times the count is not exact in binary: compare where it is no whole number.
    clear = np.abs(shares * len(values) - np.round(shares * len(values))) > 1e-9
    assert np.array(quantiles(values))[clear] == pytest.approx(expected[clear])


def test_quantiles_end_where_failed_requests_begin() -> None:
    values = [1.0, 2.0, 3.0, math.inf]  # three quarters were answered
    assert quantiles(values) == (1.0,) * 25 + (2.0,) * 25 + (3.0,) * 25
    assert quantiles([math.inf]) == ()


def test_each_stretch_keeps_its_slowest_answer_and_where_it_failed() -> None:
    last = float(BINS)  # stretches of one second
    rows = [(0.1, 0.5), (0.2, 0.9), (0.3, None), (5.5, 0.2), (last, 0.4)]
    at_s, latency_s, failed_s = _slowest(Served(table(rows)))
    assert at_s == pytest.approx((0.2, 5.5, last))
    assert latency_s == pytest.approx((0.9, 0.2, 0.4))
    assert failed_s == pytest.approx((0.3,))


def test_requests_that_are_all_due_at_once_make_one_stretch() -> None:
    at_s, latency_s, _ = _slowest(Served(table([(0.0, 0.5), (0.0, 0.7)])))
    assert (at_s, latency_s) == ((0.0,), pytest.approx((0.7,)))
