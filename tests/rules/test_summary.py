"""What a configuration's runs say together: what counts, when an interval is printed, and why not."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oildrop.rules.outcomes import MEANINGS
from oildrop.rules.set_runs import NOT_COUNTED, SetRun
from oildrop.rules.summary import summarise

OK = SetRun(
    benchmark="lm-pretrain",
    tier="nano",
    backend="torch-cpu",
    division="closed",
    workload_id="w1",
    system_id="s1",
    software_id="f1",
    set_id="set1",
    outcome="ok",
    seeds_chosen=False,
    kind="to_target",
    value=20.0,
    elapsed_s=25.0,
)


def failed(outcome, elapsed_s=60.0):
    return replace(OK, outcome=outcome, value=None, elapsed_s=elapsed_s)


def one(runs):
    (summary,) = summarise(runs)
    return summary


def test_five_successful_runs_are_ranked_with_an_interval():
    values = [18.0, 19.0, 20.0, 21.0, 22.0]
    summary = one(replace(OK, value=value) for value in values)
    logs = [math.log(value) for value in values]
    mean = sum(logs) / 5
    reach = 2.776445 * math.sqrt(sum((log - mean) ** 2 for log in logs) / 4 / 5)
    assert summary.metric == "time_to_target_s"
    assert summary.estimate == pytest.approx(math.exp(mean))
    assert summary.ci95_low == pytest.approx(math.exp(mean - reach), rel=1e-6)
    assert summary.ci95_high == pytest.approx(math.exp(mean + reach), rel=1e-6)
    assert (summary.runs, summary.ok, summary.failed, summary.not_counted) == (5, 5, 0, 0)
    assert (summary.standing, summary.reason, summary.success_rate) == ("ranked", None, 1.0)
    assert summary.expected_time_to_success_s == 25.0


def test_a_provisional_tier_is_summarised_and_never_ranked():
    summary = one(replace(OK, value=value, provisional="no reference runs") for value in (18.0, 19.0, 20.0, 21.0, 22.0))
    assert summary.standing == "unranked"
    assert summary.reason == "the tier is provisional: no reference runs"
    assert summary.estimate is not None and summary.ci95_low is not None


def test_the_json_has_the_keys_that_scripts_use():
    promised = ["benchmark", "tier", "backend", "division", "workload_id", "runs", "ok", "metric", "estimate"]
    dumped = one([OK, OK]).model_dump(mode="json")
    assert all(key in dumped for key in [*promised, "ci95_low", "ci95_high"])


def test_one_run_has_an_estimate_but_no_interval():
    summary = one([OK])
    assert (summary.estimate, summary.ci95_low, summary.ci95_high) == (pytest.approx(20.0), None, None)
    assert (summary.standing, summary.reason) == ("anecdote", "1 run has no interval")


@pytest.mark.parametrize("outcome", ["target_missed", "diverged", "oom", "timeout", "crash", "lost", "cancelled"])
def test_one_failure_withdraws_the_estimate_and_leaves_the_expected_time(outcome):
    summary = one([OK, OK, OK, OK, failed(outcome)])
    assert (summary.estimate, summary.ci95_low, summary.ci95_high) == (None, None, None)
    assert summary.expected_time_to_success_s == (4 * 25.0 + 60.0) / 4
    assert summary.reason.startswith("1 of 5 runs did not succeed, so time_to_target_s has no estimate")
    assert (summary.ok, summary.failed, summary.standing) == (4, 1, "ranked")
    # Wilson's interval for 4 of 5, from a printed table
    assert (summary.success_ci95_low, summary.success_ci95_high) == (
        pytest.approx(0.3755, abs=1e-4),
        pytest.approx(0.9638, abs=1e-4),
    )


def test_a_set_with_failures_has_a_median_with_missed_runs_censored():
    ok = [replace(OK, value=value) for value in (18.0, 20.0, 22.0)]
    missed = replace(failed("target_missed"), censored_s=50.0)
    summary = one([*ok, missed, failed("crash")])
    # By hand: 4/5 after 18, 3/5 after 20, 2/5 after 22.
    assert summary.median_time_to_target_s == 22.0
    assert summary.median_ci95_low_s == 18.0  # of 4/5 the log-log interval reaches down to 0.20
    assert summary.median_ci95_high_s is None
    early = one([*ok, replace(missed, censored_s=19.0), failed("crash")])
    # The one censored at 19 leaves 3 at risk at 20: 4/5 * 2/3 = 8/15 after it, 4/15 after 22.
    assert early.median_time_to_target_s == 22.0
    earlier = one([*ok, replace(missed, censored_s=1.0), replace(missed, censored_s=1.0)])
    assert earlier.median_time_to_target_s == 20.0  # 2/3, then 1/3
    assert one(ok).median_time_to_target_s is None  # the estimate speaks


def test_a_median_that_cannot_be_known_is_null_with_its_reason():
    never = one([OK, failed("oom"), failed("oom")])
    assert never.median_time_to_target_s is None
    assert "no median: fewer than half of the runs reach the target" in never.reason
    unknown = one([OK, OK, failed("target_missed")])
    assert unknown.median_time_to_target_s is None
    assert "no median: 1 of 3 runs have no known time" in unknown.reason


def test_sessions_of_counted_runs_are_counted():
    runs = [replace(OK, value=value, session_id=f"day{value % 2:.0f}") for value in (18.0, 19.0, 20.0)]
    assert one([*runs, replace(OK, session_id="day9", seeds_chosen=True)]).sessions == 2


def test_every_outcome_either_counts_or_is_listed_as_not_counting():
    for outcome in MEANINGS:
        summary = one([OK, failed(outcome)])
        assert summary.runs == (1 if outcome in NOT_COUNTED else 2), outcome
        assert sum(summary.outcomes.values()) == 2


def test_chosen_seeds_never_enter():
    chosen = replace(OK, seeds_chosen=True, value=0.001)
    summary = one([OK, OK, OK, chosen, replace(failed("crash"), seeds_chosen=True)])
    assert (summary.runs, summary.not_counted, summary.outcomes) == (3, 2, {"crash": 1, "ok": 4})
    assert summary.estimate == pytest.approx(20.0)
    only = one([chosen])
    assert (only.standing, only.estimate, only.success_rate, only.reason) == ("unranked", None, None, "no run counts")


def test_an_invalid_run_unranks_its_set():
    summary = one([OK] * 6 + [failed("invalid")])
    assert summary.standing == "unranked"
    assert summary.reason.startswith("an invalid run unranks its set (set1)")
    assert summary.estimate is None


def test_no_success_has_no_expected_time():
    summary = one([failed("oom")] * 3)
    assert (summary.expected_time_to_success_s, summary.success_rate) == (None, 0.0)
    assert "no run succeeded" in summary.reason


def test_an_unknown_duration_leaves_the_expected_time_unknown():
    summary = one([OK, OK, failed("lost", elapsed_s=None)])
    assert summary.expected_time_to_success_s is None
    assert "1 of 3 runs have no known duration" in summary.reason


@pytest.mark.parametrize("value", [None, 0.0, -1.0, math.nan, math.inf])
def test_a_value_that_is_missing_or_impossible_leaves_no_estimate(value):
    summary = one([OK, OK, replace(OK, value=value)])
    assert (summary.estimate, summary.reason) == (None, "1 of 3 runs carry no time_to_target_s above 0")


def test_fixed_work_has_throughput_and_no_rank():
    summary = one(replace(OK, kind="fixed_work", tier="smoke", value=value) for value in (80.0, 100.0, 125.0))
    assert (summary.metric, summary.estimate) == ("train_samples_per_s", pytest.approx(100.0))
    assert (summary.standing, summary.reason) == ("unranked", "fixed work is never ranked")


@pytest.mark.parametrize("part", ["workload_id", "system_id", "software_id", "backend", "division"])
def test_unlike_runs_are_never_pooled(part):
    other = replace(OK, **{part: "zz"}, value=99.0)
    first, second = summarise([OK, other, OK])
    assert (first.runs, second.runs) == (2, 1)
    assert getattr(second, part) == "zz"
    assert first.estimate == pytest.approx(20.0)


def test_kinds_without_a_headline_have_no_summary():
    assert summarise([replace(OK, kind="calibrate"), replace(OK, kind="probe")]) == ()
    assert summarise([]) == ()


RUN = st.sampled_from([*MEANINGS]).map(lambda outcome: OK if outcome == "ok" else failed(outcome))


@settings(deadline=None)
@given(st.lists(RUN, min_size=1, max_size=8), st.randoms())
def test_order_and_other_configurations_change_nothing(runs, random):
    alone = one(runs)
    others = [replace(run, system_id="s2", value=1.0) for run in runs]
    mixed = [*runs, *others]
    random.shuffle(mixed)
    assert summarise(mixed)[0] == alone
    assert alone.runs == alone.ok + alone.failed
    assert (alone.estimate is None) == (alone.runs == 0 or alone.failed > 0)
    assert alone.reason is not None or alone.runs > 1


SERVED = replace(OK, kind="serve", scenario="server", benchmark="lm-generate", value=12.0)


def test_scenarios_of_one_workload_stand_apart_each_under_its_own_metric():
    server, alone = summarise([replace(SERVED, scenario="single-stream", value=0.2), SERVED])
    assert (alone.scenario, alone.metric, alone.estimate) == ("single-stream", "latency_s_p90", 0.2)
    assert (server.scenario, server.metric, server.estimate) == ("server", "requests_per_s", 12.0)
    assert server.configuration == SERVED.configuration


def test_probes_and_unknown_scenarios_are_never_summarised():
    assert summarise([replace(SERVED, kind="probe"), replace(SERVED, scenario="by-post")]) == ()


def test_what_a_served_run_chose_can_unrank_it():
    summary = one(
        replace(SERVED, value=value, unranked="random weights are never ranked") for value in (9.0, 12.0, 16.0)
    )
    assert (summary.standing, summary.reason) == ("unranked", "random weights are never ranked")
    assert summary.estimate == pytest.approx(12.0)


def test_equal_values_have_an_estimate_and_no_interval():
    summary = one([OK] * 5)
    assert (summary.estimate, summary.ci95_low, summary.ci95_high) == (pytest.approx(20.0), None, None)
    assert summary.reason.startswith("5 equal values have no interval")


def test_a_failed_runs_energy_is_paid_by_those_that_succeed():
    runs = [
        replace(OK, energy_j=1000.0, energy_scope="node"),
        replace(failed("crash"), energy_j=500.0, energy_scope="node"),
    ]
    summary = one(runs)
    assert (summary.expected_energy_to_success_j, summary.energy_scope, summary.energy_reason) == (1500.0, "node", None)
    other = one([*runs, replace(OK, energy_j=1.0, energy_scope="device")])
    assert other.expected_energy_to_success_j is None and "cover device and node" in other.energy_reason
    assert (
        one([OK]).energy_reason == "1 of 1 runs have no measured energy" and one([OK]).reason == "1 run has no interval"
    )
