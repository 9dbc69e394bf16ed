"""A configuration over its sessions: one value a session, failures left out, and what may be said."""

import math

import numpy as np
import pytest

from oildrop.rules.history import LEAST_SESSIONS, Sitting, history_of
from oildrop.rules.set_runs import SetRun


def sitting(day, *values):
    """One session; a value of None is a crash."""
    runs = tuple(
        SetRun(
            benchmark="lm-pretrain", tier="nano", backend="torch-cpu", division="closed", workload_id="w",
            system_id="s", software_id="f", set_id="set", outcome="ok" if value else "crash", seeds_chosen=False,
            kind="to_target", value=value, elapsed_s=30.0,
        )
        for value in values
    )  # fmt: skip
    return Sitting(session_id=f"s{day}", created_utc=f"2026-11-{day:02d}T10:00:00Z", runs=runs)


def sentences(*sittings):
    return history_of("time_to_target_s", sittings).sentences


def test_a_change_is_told_with_its_day_and_size():
    dice = np.random.default_rng(2)
    days = [sitting(day, *((20 if day < 7 else 24) * np.exp(0.02 * dice.standard_normal(3)))) for day in range(1, 13)]
    found = history_of("time_to_target_s", days[::-1])
    (change,) = found.changes
    assert (change.session_id, change.created_utc) == ("s7", "2026-11-07T10:00:00Z")
    assert change.ratio == pytest.approx(1.2, rel=0.03)
    (sentence,) = found.sentences
    assert sentence.startswith(
        f"from the session of 2026-11-07 on, time_to_target_s is {change.ratio:.2f}× what it was"
    )
    assert [point.session_id for point in found.sessions] == [f"s{day}" for day in range(1, 13)]


def test_a_session_is_one_value_and_one_with_a_failure_none():
    found = history_of("time_to_target_s", [sitting(1, 18.0, 22.0), sitting(2, 20.0, None)])
    assert found.sessions[0].estimate == pytest.approx(math.sqrt(18 * 22))
    assert (found.sessions[1].runs, found.sessions[1].ok, found.sessions[1].estimate) == (2, 1, None)


def test_too_few_sessions_say_so_and_enough_can_show_a_change():
    def halves(count):
        return [sitting(day, 20.0 + 0.01 * day + 10 * (day > count // 2)) for day in range(1, count + 1)]

    assert sentences(*halves(LEAST_SESSIONS - 1)) == (
        "7 sessions cannot show a change of time_to_target_s: that takes 8 in which every run succeeded",
    )
    assert sentences(*halves(1))[0].startswith("1 session cannot show")
    assert sentences(*halves(LEAST_SESSIONS))[0].startswith("from the session of 2026-11-05 on")
    steady = [sitting(day, 20.0 + (day * 7 % 5) / 10) for day in range(1, 11)]
    assert sentences(*steady) == ("no change of time_to_target_s is seen in 10 sessions",)
