"""The engine's time by kind of step: shares, rates, energy and bandwidth by hand, or why there are none."""

from __future__ import annotations

from typing import Any

import pytest

from oildrop.rules import keys
from oildrop.rules.evidence import Series
from oildrop.rules.judge import judge
from oildrop.rules.records import Metric

SECOND = 1_000_000_000
NAMES = ("engine_prefill_tokens_per_s", "engine_decode_tokens_per_s", "engine_time_fraction")


def metrics_of(run: Any) -> dict[tuple[str, str], Metric]:
    return {(m.name, m.dims.get("phase", "")): m for m in judge(run.evidence(), run.rulebook).metrics}


def timed(run: Any, **totals: int) -> None:
    """Of the time from run_start to run_stop, 0.52 s read 800 tokens in 50 steps, 0.26 s said 400 in 200."""
    told = {
        "engine_prefill_ns": 520_000_000, "engine_prefill_steps": 50, "engine_prefill_tokens": 800,
        "engine_decode_ns": 260_000_000, "engine_decode_steps": 200, "engine_decode_tokens": 400, **totals,
    }  # fmt: skip
    run.find(keys.SERVED)["meta"].update(told)


def settings(run: Any, **changes: object) -> None:
    renamed = {key.replace("__", "."): value for key, value in changes.items()}
    run.spec = run.spec.model_copy(update={"settings": {**run.spec.settings, **renamed}})


def energy(run: Any, watts: float) -> None:
    """A steady power from before run_start to after run_stop."""
    times = tuple(range(0, 6 * SECOND, SECOND // 4))
    run.series = (
        Series(meter="m", quantity="power_w", device="d", scope="device", t_ns=times, values=(watts,) * len(times)),
    )


@pytest.mark.parametrize("scenario", ["single-stream", "offline"])
def test_shares_and_rates_are_those_of_the_steps(make_served: Any, scenario: str) -> None:
    run = make_served(scenario)
    timed(run)
    found = metrics_of(run)
    run_s = (run.find(keys.RUN_STOP)["t_ns"] - run.find(keys.RUN_START)["t_ns"]) / SECOND
    assert found["engine_prefill_tokens_per_s", ""].value == pytest.approx(800 / 0.52)
    assert found["engine_decode_tokens_per_s", ""].value == pytest.approx(400 / 0.26)
    assert found["engine_time_fraction", "prefill"].value == pytest.approx(0.52 / run_s)
    assert found["engine_time_fraction", "decode"].value == pytest.approx(0.26 / run_s)
    assert found["engine_time_fraction", ""].value == pytest.approx(0.78 / run_s)
    assert found["engine_decode_tokens_per_s", ""].sample_count == 200


@pytest.mark.parametrize("scenario", ["single-stream", "offline"])
def test_energy_of_a_phase_is_the_mean_power_over_its_steps(make_served: Any, scenario: str) -> None:
    run = make_served(scenario)
    timed(run)
    energy(run, 10.0)
    found = metrics_of(run)
    prefill, decode = (found["energy_per_token_j", phase] for phase in ("prefill", "decode"))
    assert prefill.value == pytest.approx(10.0 * 0.52 / 800) and decode.value == pytest.approx(10.0 * 0.26 / 400)
    assert {(each.status, each.formula) for each in (prefill, decode)} == {("modelled", "energy_split_by_steps/1")}
    # Idle time belongs to neither: together they are less than the whole.
    whole = found["energy_j", ""].value
    assert whole is not None and prefill.value * 800 + decode.value * 400 < whole


def test_a_log_without_the_times_has_none_of_them(served_run: Any) -> None:
    found = metrics_of(served_run)
    assert {found[name, ""].value for name in NAMES} == {None}
    assert "the log does not say" in str(found["engine_time_fraction", "prefill"].reason)


def test_a_phase_without_a_token_has_no_rate_and_no_energy(served_run: Any) -> None:
    timed(served_run, engine_decode_tokens=0, engine_decode_steps=0, engine_decode_ns=0)
    energy(served_run, 10.0)
    found = metrics_of(served_run)
    assert found["engine_decode_tokens_per_s", ""].value is None
    assert found["energy_per_token_j", "decode"].value is None and found["energy_per_token_j", "prefill"].value
    assert found["engine_time_fraction", "decode"].value == 0.0


@pytest.mark.parametrize("damaged", [-1, None, "many", 1.5])
def test_damaged_totals_are_none(served_run: Any, damaged: Any) -> None:
    timed(served_run)
    served_run.find(keys.SERVED)["meta"]["engine_decode_ns"] = damaged
    assert metrics_of(served_run)["engine_prefill_tokens_per_s", ""].value is None


def test_steps_that_took_longer_than_the_run_are_none(served_run: Any) -> None:
    timed(served_run, engine_decode_ns=3_000_000_000)
    assert "longer than the run" in str(metrics_of(served_run)["engine_decode_tokens_per_s", ""].reason)


def test_a_server_keeps_its_time_to_itself(served_run: Any) -> None:
    served_run.spec = served_run.spec.model_copy(update={"backend": "endpoint"})
    assert "the server does not say" in str(metrics_of(served_run)["engine_prefill_tokens_per_s", ""].reason)


def test_two_processes_share_no_time(served_run: Any) -> None:
    timed(served_run)
    energy(served_run, 10.0)
    settings(served_run, execution__transfer="tcp")
    found = metrics_of(served_run)
    assert found["engine_time_fraction", ""].value is None
    assert found["engine_time_fraction", "prefill"].value == pytest.approx(0.16)
    assert "process of their own" in str(found["energy_per_token_j", "decode"].reason)


@pytest.mark.parametrize("depth", [0, 4000])
def test_bandwidth_in_any_scenario_is_what_its_steps_read(make_served: Any, depth: int) -> None:
    """200 steps read 4 MB of weights each, and each of 400 tokens 1 kB a token before it: 9 ... 12 behind the depth."""
    run = make_served("offline")
    timed(run)
    settings(run, requests__depth_tokens=depth)
    moved = 200 * 4_000_000 + 1000 * 100 * (9 + 10 + 11 + 12 + 4 * depth)
    found = metrics_of(run)["mbu", ""]
    assert found.value == pytest.approx(moved / 0.26 / 1e10)
    assert found.formula == "decode_mbu/2"


def test_flops_of_a_request_count_what_it_sees_at_its_depth(served_run: Any) -> None:
    """2 layers of 2 heads of 4: each of the positions 1 ... 12 sees 40 more, at 4 FLOPs an element."""
    plain = metrics_of(served_run)["model_flop_per_s", ""].value
    settings(served_run, requests__depth_tokens=40)
    deep = metrics_of(served_run)["model_flop_per_s", ""].value
    assert plain is not None and deep is not None
    assert deep - plain == pytest.approx(100 * 12 * 40 * 2 * 4 * 8 / 3.25)
