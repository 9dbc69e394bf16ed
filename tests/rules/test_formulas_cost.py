"""What runs cost: closed forms worked out by hand, and that a failure always costs."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oildrop.rules.costing import Attempt, Rates, cost_metric, value_of
from oildrop.rules.formulas import cost

TIMES = st.floats(min_value=0.01, max_value=1e6)


def attempt(elapsed_s, *, ok=True, scope="node", **values):
    return Attempt(ok=ok, elapsed_s=elapsed_s, values=values, scopes=dict.fromkeys(values, scope))


def rates(per_hour=3.6, **fields):
    return Rates(currency="EUR", per_hour=per_hour, why=None if per_hour else "no price for X", **fields)


def test_each_formula_by_hand():
    assert cost.cost_of_time(3.6, 1000) == pytest.approx(1.0)  # 0.001 a second
    assert cost.cost_per_million(7.2, 2000) == pytest.approx(1.0)  # a million at 2000/s takes 500 s at 0.002 each
    assert cost.purchase_per_hour(8766.0, 2.0, 0.5) == pytest.approx(1.0)
    assert cost.electricity_cost(7.2e6, 0.3) == pytest.approx(0.6)
    assert cost.carbon_g(1.8e6, 400.0) == pytest.approx(200.0)
    assert cost.share_of_failures([10.0, 10.0], [10.0, 10.0, 5.0]) == pytest.approx(1.25)
    with pytest.raises(ValueError, match="rate 0"):
        cost.cost_per_million(1.0, 0)


def test_the_interval_of_cost_is_that_of_time_in_money():
    from scipy.stats import t

    times = [100.0, 110.0, 95.0, 105.0]
    logs = [math.log(time) for time in times]
    mean = sum(logs) / 4
    half = t.ppf(0.975, 3) * math.sqrt(sum((x - mean) ** 2 for x in logs) / 3 / 4)
    found = value_of("cost_to_target", "to_target", [attempt(time) for time in times], rates())
    assert (found.value, found.low, found.high) == pytest.approx(
        tuple(math.exp(x) * 0.001 for x in (mean, mean - half, mean + half))
    )
    assert (found.unit, found.formula, found.count) == ("EUR", "cost_to_target/1", 4)


def test_failures_are_borne_by_what_succeeded_and_leave_no_interval():
    attempts = [attempt(100.0), attempt(300.0), attempt(500.0, ok=False)]
    found = value_of("cost_to_target", "to_target", attempts, rates())
    assert (found.value, found.low, found.high) == (pytest.approx(0.45), None, None)  # 900 s at 0.001, over 2
    served = [attempt(10.0, output_tokens_per_s=1000.0), attempt(10.0, ok=False)]
    tokens = value_of("cost_per_million_tokens", "serve", served, rates())
    assert tokens.value == pytest.approx(2.0)  # 1000 s at 0.001, and as much again
    unknown = value_of("cost_to_target", "to_target", [attempt(1.0), attempt(None, ok=False)], rates())
    assert unknown.value is None and "1 of 2 attempts have no known duration" in unknown.reason
    none = value_of("cost_to_target", "to_target", [attempt(1.0, ok=False)], rates())
    assert none.value is None and "none of 1 runs succeeded" in none.reason


@given(st.lists(TIMES, min_size=1, max_size=8), st.lists(TIMES, max_size=4), TIMES)
def test_a_failing_run_always_raises_the_expected_cost(ok_s, failed_s, one_more_s):
    def expected(failures, name, kind):
        attempts = [attempt(time, output_tokens_per_s=50.0 + time) for time in ok_s]
        return value_of(name, kind, attempts + [attempt(time, ok=False) for time in failures], rates()).value

    for name, kind in (("cost_to_target", "to_target"), ("cost_per_million_tokens", "serve")):
        before, after = (expected(each, name, kind) for each in (failed_s, [*failed_s, one_more_s]))
        assert after > before * (1 - 1e-12)
        # one part in a million of the time is above what rounding of a sum may hide
        assert after > before or one_more_s < 1e-9 * sum(ok_s)


def test_electricity_and_carbon_come_from_measured_energy_or_are_missing():
    measured = {"energy_j": 3.6e6, "energy_attempt_j": 7.2e6, "energy_per_token_j": 0.36}
    attempts = [attempt(1000.0, **measured, power_w=100.0, requests_per_s=10.0)]
    lit = rates(electricity_per_kwh=0.5, carbon_g_per_kwh=300.0)
    # the whole attempt is paid for, set-up included: 1 for its time, and 2 kWh
    assert value_of("cost_run", "serve", attempts, lit).value == pytest.approx(2.0)
    assert value_of("cost_run", "serve", attempts, lit).scope == "node"
    assert value_of("carbon_run_g", "serve", attempts, lit).value == pytest.approx(300.0)
    assert value_of("carbon_per_million_tokens_g", "serve", attempts, lit).value == pytest.approx(30.0)
    # a million requests take 1e5 s: 100 of the machine, and 1e7 J = 2.78 kWh
    assert value_of("cost_per_million_requests", "serve", attempts, lit).value == pytest.approx(100 + 1e7 / 3.6e6 * 0.5)
    dark = value_of("cost_run", "serve", [attempt(1000.0)], lit)
    assert dark.value is None and "no energy_attempt_j, so electricity is unknown" in dark.reason
    blind = Attempt(ok=True, elapsed_s=1.0, values={"energy_j": None}, reasons={"energy_j": "no meter answers"})
    assert value_of("energy_j", "serve", [blind], lit).reason == "1 of 1 runs: no energy_j (no meter answers)"
    assert "name one with --grid" in value_of("carbon_run_g", "serve", attempts, rates()).reason


def test_no_price_is_null_with_its_reason_and_scopes_are_not_mixed():
    found = value_of("cost_run", "serve", [attempt(1.0)], rates(None))
    assert (found.value, found.reason) == (None, "1 of 1 runs: no price for X")
    mixed = [attempt(1.0, power_w=5.0), attempt(1.0, power_w=6.0, scope="device")]
    assert "device and node" in value_of("power_w", "serve", mixed, rates()).reason
    zero = value_of("error_fraction", "serve", [attempt(1.0, error_fraction=0.0)], rates())
    assert (zero.value, zero.low) == (0.0, None)
    assert "have no cost_to_target" in value_of("cost_to_target", "serve", [attempt(1.0)], rates()).reason


def test_plain_cost_means_what_fits_the_runs():
    tokens, images = [attempt(1.0, output_tokens_per_s=5.0)], [attempt(1.0, requests_per_s=5.0)]
    assert cost_metric("to_target", None, images) == "cost_to_target"
    assert cost_metric("fixed_work", None, images) == "cost_per_million_tokens"
    assert cost_metric("serve", "offline", tokens) == "cost_per_million_tokens"
    assert cost_metric("serve", "offline", images) == "cost_per_million_requests"
