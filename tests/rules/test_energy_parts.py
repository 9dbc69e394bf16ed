"""Idle power, energy above it, by phase, a sample, a request, and of a whole attempt, worked out by hand."""

from __future__ import annotations

from typing import Any

import meter_breakers as broken
import pytest

from oildrop.rules import keys
from oildrop.rules.evidence import Series
from oildrop.rules.judge import judge

S = 1_000_000_000
LOAD_W, IDLE_W, AFTER_W = 50.0, 10.0, 14.0


def with_idle(run: Any, *, idle_s: float = 5.0) -> None:
    """A device at 50 W while the run works, at 10 W before and 14 W after; read each 50 ms."""
    for row in run.rows:
        row["t_ns"] += round(idle_s * S)
        if "received_ns" in row["meta"]:
            row["meta"]["received_ns"] += round(idle_s * S)
    stop_s = run.find(keys.RUN_STOP)["t_ns"] / S
    end_s = max(row["t_ns"] for row in run.rows) / S + 0.1
    first = {"key": keys.PHASE, "t_ns": 0, "value": "idle", "proc": "supervisor", "meta": {}}
    probe = {"key": keys.PHASE, "t_ns": round(idle_s * S), "value": "probe", "proc": "supervisor", "meta": {}}
    run.rows[:0] = [first]
    run.rows.insert(2, probe)
    last = run.rows.pop()
    run.add(keys.PHASE, end_s, "idle", proc="supervisor")
    run.rows.append({**last, "t_ns": round((end_s + idle_s) * S)})
    meta = {"status": "measured", "device": "d", "scope": "device", "update_period_s": 0.05}
    opened = round((idle_s + 0.1) * S)
    run.rows.insert(3, {"key": keys.METER, "t_ns": opened, "value": "probe", "proc": "supervisor", "meta": meta})
    before = [0.05 * k for k in range(1, round(idle_s / 0.05))]
    work = [idle_s + 0.2 + 0.05 * k for k in range(int((end_s - idle_s - 0.2) / 0.05))]
    after = [end_s + 0.05 * k for k in range(1, round(idle_s / 0.05))]
    times = (*before, *work, *after)
    powers = (*[IDLE_W] * len(before), *[LOAD_W] * len(work), *[AFTER_W] * len(after))
    run.series = (made("d", times, powers),)
    assert stop_s < work[-1]


def made(device: str, times: Any, values: Any, quantity: str = "power_w") -> Series:
    stamps = tuple(round(t * S) for t in times)
    return Series(meter="probe", quantity=quantity, device=device, scope="device", t_ns=stamps, values=tuple(values))


def judged(run: Any) -> Any:
    return judge(run.evidence(), run.rulebook)


def dims_of(judgement: Any, name: str) -> dict[str, Any]:
    return {next(iter(m.dims.values())): m for m in judgement.metrics if m.name == name and m.dims}


def test_idle_power_is_the_mean_of_before_and_after_and_its_doubt_reaches_both(toy_run: Any) -> None:
    with_idle(toy_run)
    judgement = judged(toy_run)
    idle, sides = judgement.headline("idle_power_w"), dims_of(judgement, "idle_power_w")
    assert (sides["before"].value, sides["after"].value) == pytest.approx((IDLE_W, AFTER_W))
    assert idle.value == pytest.approx(12.0) and idle.uncertainty == pytest.approx(2.0)
    assert (idle.unit, idle.formula, idle.scope) == ("W", "idle_power/1", "device")
    assert idle.sample_count == sides["before"].sample_count + sides["after"].sample_count
    # 4.3 s at 38 W above idle; the idle power's 2 W bear on all of it.
    above = judgement.headline("energy_above_idle_j")
    assert above.value == pytest.approx(4.3 * 38) and above.uncertainty == pytest.approx(4.3 * 2)
    assert judgement.headline("energy_j").value == pytest.approx(4.3 * LOAD_W)


def test_idle_windows_under_50_updates_are_flagged_and_kept(toy_run: Any) -> None:
    with_idle(toy_run, idle_s=1.0)
    idle = dims_of(judged(toy_run), "idle_power_w")["before"]
    assert idle.value == pytest.approx(IDLE_W) and "is short for this meter: 2.5 s are wanted" in idle.reason


def test_a_run_under_its_idle_power_has_no_energy_above_it(toy_run: Any) -> None:
    with_idle(toy_run)
    one = toy_run.series[0]
    toy_run.series = (made("d", [t / S for t in one.t_ns], [60.0 if v != LOAD_W else v for v in one.values]),)
    judgement = judged(toy_run)
    above = judgement.headline("energy_above_idle_j")
    assert above.value is None and above.reason == "the run drew 50 W, under the idle power of 60 W"
    assert judgement.headline("energy_j").value == pytest.approx(4.3 * LOAD_W)


def test_a_device_that_only_idled_beside_the_run_is_not_counted(toy_run: Any) -> None:
    with_idle(toy_run)
    toy_run.series = (*toy_run.series, made("other", [0.5, 1.0, 1.5, 2.0], [7.0] * 4))
    judgement = judged(toy_run)
    assert judgement.headline("energy_j").value == pytest.approx(4.3 * LOAD_W)
    assert judgement.headline("idle_power_w").value == pytest.approx(12.0)


def test_without_idle_time_it_is_said_and_energy_stays(toy_run: Any) -> None:
    broken.sound_meter(toy_run)
    judgement = judged(toy_run)
    assert judgement.headline("energy_j").value == pytest.approx(4.3 * LOAD_W)
    for name in ("idle_power_w", "energy_above_idle_j"):
        assert judgement.headline(name).reason == "no idle time was sampled before or after the run"


def test_phases_of_the_clock_add_up_and_set_up_is_beside_them(toy_run: Any) -> None:
    with_idle(toy_run)
    judgement = judged(toy_run)
    phases = dims_of(judgement, "energy_j")
    # Trained 4 s, evaluated three times a tenth of a second; compiled from 0.5 to 0.7 s after the worker's start.
    assert phases["train"].value == pytest.approx(4.0 * LOAD_W) and phases["eval"].value == pytest.approx(0.3 * LOAD_W)
    assert phases["compile"].value == pytest.approx(0.2 * LOAD_W)
    assert {m.formula for m in phases.values()} == {"energy_by_phase/1"} and set(phases) == {"compile", "train", "eval"}


def test_energy_a_sample_and_of_the_attempt(toy_run: Any) -> None:
    with_idle(toy_run)
    judgement = judged(toy_run)
    a_sample = judgement.headline("energy_per_sample_j")
    assert a_sample.value == pytest.approx(4.3 * LOAD_W / 40) and a_sample.window_ns == (6 * S, round(10.3 * S))
    attempt = judgement.headline("energy_attempt_j")
    start_ns, stop_ns = attempt.window_ns
    assert start_ns == round(5.2 * S) and stop_ns > round(10.5 * S)
    assert attempt.value == pytest.approx(LOAD_W * (stop_ns - start_ns) / S)


def test_an_attempt_that_crashed_has_its_energy_and_no_other(toy_run: Any) -> None:
    with_idle(toy_run)
    toy_run.drop(keys.RUN_STOP)
    judgement = judged(toy_run)
    assert judgement.headline("energy_j").value is None
    assert judgement.headline("energy_attempt_j").value > 4.3 * LOAD_W


def test_a_counter_that_began_anew_with_the_run_is_not_read_across(toy_run: Any) -> None:
    """Idle ended at 30 J; opened again for the run, the counter jumps to 100 J before it is read: no 70 J of work."""
    with_idle(toy_run)
    before, rest = [t for t in toy_run.series[0].t_ns if t < 5 * S], [t for t in toy_run.series[0].t_ns if t > 5 * S]
    values = [6 * t / S for t in before] + [100 + LOAD_W * (t - rest[0]) / S for t in rest]
    toy_run.series = (made("d", [t / S for t in (*before, *rest)], values, "energy_j"),)
    judgement = judged(toy_run)
    assert judgement.headline("energy_j").value == pytest.approx(4.3 * LOAD_W)
    toy_run.rows.insert(
        6, {"key": keys.PHASE, "t_ns": round(5.05 * S), "value": "init", "proc": "worker-0", "meta": {}}
    )
    init = dims_of(judged(toy_run), "energy_j")["init"]
    assert init.value is None and "the first sample came 0.15 s after" in init.reason


def test_restarts_leave_the_attempt_without_energy(toy_run: Any) -> None:
    with_idle(toy_run)
    toy_run.rows.insert(-1, {"key": keys.RESTART, "t_ns": 11 * S, "value": 1, "proc": "supervisor", "meta": {
        "rank": 0, "reason": "crash", "samples": 40, "steps": 8, "signal": None}})  # fmt: skip
    assert "opened anew at each restart" in judged(toy_run).headline("energy_attempt_j").reason


def test_the_doubts_of_the_whole_are_those_of_its_phases(toy_run: Any) -> None:
    broken.meter(toy_run, uncertainty=0.01)
    broken.series(toy_run, "power_w", [LOAD_W] * len(broken.times_s(toy_run)))
    train = dims_of(judged(toy_run), "energy_j")["train"]
    assert train.uncertainty == pytest.approx(0.01 * train.value)


def test_energy_of_a_request_counts_the_answered(served_run: Any) -> None:
    broken.sound_meter(served_run)
    judgement = judged(served_run)
    energy, a_request = judgement.headline("energy_j"), judgement.headline("energy_per_request_j")
    assert a_request.value == pytest.approx(energy.value / 100) and a_request.unit == "J/request"
    served_run.fail(3, "timeout")
    assert judged(served_run).headline("energy_per_request_j").value == pytest.approx(energy.value / 99)


def test_where_nothing_is_metered_each_says_why(toy_run: Any) -> None:
    judgement = judged(toy_run)
    names = ("energy_j", "idle_power_w", "energy_above_idle_j", "energy_per_sample_j", "energy_attempt_j")
    assert all(judgement.headline(name).value is None and judgement.headline(name).reason for name in names)
    assert not dims_of(judgement, "energy_j")


def test_a_sensor_in_step_with_the_load_is_not_in_step_with_idle_time(toy_run: Any) -> None:
    with_idle(toy_run)
    meter = toy_run.find(keys.METER)
    meter["meta"] |= {"update_period_s": 0.5, "seen_fraction": 0.25, "power_limit_w": 100.0}  # steps take 0.5 s
    judgement = judged(toy_run)
    assert judgement.headline("energy_j").uncertainty == pytest.approx(0.75 * 4.3 * LOAD_W)
    assert dims_of(judgement, "idle_power_w")["before"].uncertainty == pytest.approx(0.0)
