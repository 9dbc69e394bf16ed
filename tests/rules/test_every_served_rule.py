"""Every rule that a served run is asked has a run that keeps it and one that breaks it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from beside_another import short_overlap
from meter_breakers import METER_BREAKERS, sound_meter
from trust_breakers import TRUST_BREAKERS, slowing_answers

from oildrop.rules import keys
from oildrop.rules.checks.serving_checks import idle_gaps_s
from oildrop.rules.evidence import Problem, Series
from oildrop.rules.formulas.words import raw_words
from oildrop.rules.judge import judge
from oildrop.rules.served import Served

SECOND = 1_000_000_000
MS = 1_000_000


def change(run: Any, **settings: Any) -> None:
    run.spec = run.spec.model_copy(update={"settings": {**run.spec.settings, **settings}})


def update(run: Any, **fields: Any) -> None:
    run.spec = run.spec.model_copy(update=fields)


def second_start(run: Any) -> None:
    run.add(keys.RUN_START, 1.0)


def changed_file(run: Any) -> None:
    run.problems = (Problem(file="samples/0000.arrow", message="was changed since event 9"),)


def unreadable_mark(run: Any) -> None:
    run.add(keys.BLOCK_START, 1.0, samples="many")
    run.add(keys.BLOCK_STOP, 1.0, samples="many")


def failed_gate(run: Any) -> None:
    run.find(keys.GATE)["meta"].update(passed=False, value=0.5)


def answers_known_before(run: Any) -> None:
    run.answers["loss_nats"] = [1.0] * 4


def early_stop(run: Any) -> None:
    run.find(keys.RUN_STOP)["t_ns"] -= 3 * SECOND


def few_queries(run: Any) -> None:
    for column in run.requests.values():
        del column[63:]
    run.pick()
    run.find(keys.SERVED).update(value=63)
    run.find(keys.SERVED)["meta"].update(requests=63)


def issued_early(run: Any) -> None:
    run.requests["issued_ns"][7] = run.requests["scheduled_ns"][7] - 1


def late_generator(run: Any) -> None:
    for row in range(3):
        run.requests["issued_ns"][row] += 4 * MS


def dropped_request(run: Any) -> None:
    for column in run.requests.values():
        del column[50]


def short_answer(run: Any) -> None:
    for name, value in (("output_tokens", 4), ("gaps_ns", (2 * MS,) * 3), ("tokens", (1, 2, 3, 4))):
        run.requests[name][9] = value
    run.requests["last_ns"][9] -= 2 * MS


def last_before_first(run: Any) -> None:
    run.requests["last_ns"][5] = run.requests["first_ns"][5] - 1


def assessed_too_few(run: Any) -> None:
    for column in run.answers.values():
        del column[1:]


def other_weights(run: Any) -> None:
    run.find(keys.WEIGHTS_SHA256)["value"] = "c" * 64


def an_error(run: Any) -> None:
    run.fail(50, "http_500")


def short_deadline(run: Any) -> None:
    run.drop(keys.RUN_STOP)
    update(run, limits=run.spec.limits.model_copy(update={"deadline_s": 1.0}))
    run.find(keys.OUTCOME).update(value="timeout")
    run.find(keys.OUTCOME)["meta"]["limit"] = "deadline"


def cancelled_while_serving(run: Any) -> None:
    for key in (keys.RUN_STOP, keys.SERVED):
        run.drop(key)
    run.find(keys.OUTCOME).update(value="cancelled")
    run.find(keys.OUTCOME)["meta"]["cancelled_by"] = "SIGINT"


def slow_set_up(run: Any) -> None:
    for row in run.rows[2:]:
        row["t_ns"] += 40 * SECOND
        if "received_ns" in row["meta"]:
            row["meta"]["received_ns"] += 40 * SECOND


def listed_part(run: Any) -> None:
    part = next(part for part in run.rulebook.devices if "fp32" in part.peak_flop_per_s)
    cpu = run.system.cpu.model_copy(update={"model": part.match[0]})
    run.system = run.system.model_copy(update={"cpu": cpu})
    update(run, system_id=run.system.system_id())
    change(run, **{"model.layers": 10**6, "model.width": 10**5, "model.hidden": 10**5})


def other_hash(run: Any) -> None:
    run.add(keys.WEIGHTS_SHA256, 0.96, "b" * 64, proc="worker-1", when="init")


def stolen_time(run: Any) -> None:
    run.series = (
        Series(meter="process", quantity="steal_s", device="cpu", scope="node", t_ns=(0, SECOND), values=(0.0, 0.1)),
    )


def with_cache(run: Any, **counts: int) -> None:
    """It declares a prefix cache: 100 prompts of 8 tokens."""
    change(run, **{"execution.prefix_cache": "on"})
    run.find(keys.SERVED)["meta"].update({f"prompt_tokens_{name}": count for name, count in counts.items()})


def answered_from_a_cache(run: Any) -> None:
    meta = run.find(keys.REPEATS)["meta"]
    meta["repeated_ns"] = [round(new_ns / 1.3) for new_ns in meta["new_ns"]]


def with_draft(run: Any, **counts: int) -> None:
    """It declares a draft: of 100 answers the second and the fourth token after the first came with another each."""
    change(run, **{"execution.draft": "small", "execution.draft_tokens": 3})
    run.requests["gaps_ns"] = [(4 * MS, 0, 4 * MS, 0)] * 100
    run.find(keys.SERVED)["meta"].update({f"draft_{name}": count for name, count in counts.items()})


BREAKERS: dict[str, Callable[[Any], None]] = {
    "R001": second_start,
    "R002": changed_file,
    "R003": unreadable_mark,
    "R004": failed_gate,
    "R006": answers_known_before,
    "R007": lambda run: change(run, **{"model.width": 16}),
    "R008": lambda run: update(run, benchmark_sha256="0" * 64),
    "R009": lambda run: update(run, system_id="0" * 16),
    "R010": lambda run: update(run, seed=7),
    "R011": lambda run: run.find(keys.OUTCOME).update(value="diverged"),
    "R012": lambda run: run.add(keys.CLOCK, 2.0, "suspend", proc="supervisor", by_s=30.0),
    "R013": lambda run: run.find(keys.SERVED).update(t_ns=0),
    "R014": lambda run: run.find(keys.RUN_STOP)["meta"].update(received_ns=0),
    "R017": slow_set_up,
    "R018": short_deadline,
    "R020": lambda run: run.add(keys.OTHER_RUN, 2.0, "another", proc="supervisor", device="cpu"),
    "R021": lambda run: run.find(keys.HOST_STATE)["meta"].update(load_1m=1.9),
    "R022": stolen_time,
    "R023": lambda run: run.find(keys.HOST_STATE, 1)["meta"].update(throttle_count=4),
    "R024": lambda run: setattr(run, "sealed", False),
    "R025": listed_part,
    "R026": lambda run: run.find(keys.OVERHEAD)["meta"].update(supervisor_cpu_s=0.5),
    "R029": lambda run: run.add(keys.CLOCK, 2.0, "set_back", proc="supervisor", by_s=3600.0),
    "R030": lambda run: update(run, seeds_chosen=True),
    "R032": other_hash,
    "R034": early_stop,
    "R035": issued_early,
    "R036": late_generator,
    "R037": dropped_request,
    "R038": short_answer,
    "R039": last_before_first,
    "R040": assessed_too_few,
    "R041": other_weights,
    "R042": an_error,
    "R043": lambda run: change(run, **{"requests.prompts": "repeated"}),
    "R044": lambda run: change(run, **{"weights.source": "random"}),
    "R045": few_queries,
    "R046": lambda run: run.find(keys.SERVED)["meta"].update(tokens_counted_by={"usage": 99, "chunks": 1}),
    "R047": lambda run: run.find(keys.SERVED)["meta"].update(ended_by_model=2),
    **{rule: breaker for rule, breaker in METER_BREAKERS.items() if rule != "R064"},  # which is asked of steps
    **TRUST_BREAKERS,
    "R070": short_overlap,
    "R088": slowing_answers,
    "R048": answered_from_a_cache,
    "R049": lambda run: run.drop(keys.REPEATS),
    "R051": lambda run: with_cache(run, asked=800, cached=701),
    "R050": cancelled_while_serving,
    "R052": lambda run: with_draft(run, verified=200, proposed=500, accepted=201),
    "R053": lambda run: run.find(keys.SERVED)["meta"].update(
        tokens_counted_twice={"answers": 100, "differ": 3, "most": 2}
    ),
}


def findings_of(run: Any) -> set[str]:
    return {finding.rule for finding in judge(run.evidence(), run.rulebook).findings}


def test_rules_of_served_runs_and_breaking_cases_are_the_same_set(served_run: Any) -> None:
    asked = {name for name, rule in served_run.rulebook.rules.items() if "serve" in rule.kinds}
    assert asked == set(BREAKERS)


def test_a_served_run_with_a_sound_meter_keeps_every_rule(served_run: Any) -> None:
    sound_meter(served_run)
    assert findings_of(served_run) == set()


@pytest.mark.parametrize(
    ("scenario", "rate_per_s"),
    [("single-stream", None), ("server", 20.0), ("interactive", 20.0), ("offline", None)],
)
def test_a_clean_run_keeps_every_rule(make_served: Any, scenario: str, rate_per_s: float | None) -> None:
    assert findings_of(make_served(scenario, rate_per_s)) == set()


def test_a_clean_run_of_several_requests_a_query_says_only_that_it_has_few(make_served: Any) -> None:
    assert findings_of(make_served("multi-stream")) == {"R045"}


@pytest.mark.parametrize("rule", sorted(BREAKERS))
def test_a_broken_run_is_found(served_run: Any, rule: str) -> None:
    BREAKERS[rule](served_run)
    assert rule in findings_of(served_run)


@pytest.mark.parametrize("rule", sorted(BREAKERS))
def test_severity_decides_the_outcome(served_run: Any, rule: str) -> None:
    BREAKERS[rule](served_run)
    judgement = judge(served_run.evidence(), served_run.rulebook)
    grave = {finding.rule for finding in judgement.findings if finding.severity in ("broken", "invalid")}
    ended_from_outside = {"R018": "timeout", "R050": "cancelled"}.get(rule)
    assert judgement.outcome == (ended_from_outside or ("invalid" if grave else "ok"))
    assert (rule in grave) == (served_run.rulebook.rules[rule].severity in ("broken", "invalid"))


def test_a_schedule_of_ones_own_is_found(make_served: Any) -> None:
    run = make_served("server", 20.0)
    for name in ("scheduled_ns", "issued_ns", "first_ns", "last_ns"):
        run.requests[name][40] += 1
    assert findings_of(run) == {"R035"}


def rested(run: Any, rest_ns: int) -> None:
    """Every request of a closed loop is due, issued and answered so much later than the one before it allowed."""
    for name in ("scheduled_ns", "issued_ns", "first_ns", "last_ns"):
        run.requests[name] = [at + k * rest_ns for k, at in enumerate(run.requests[name])]
    for row in run.rows:
        if row["t_ns"] > 2 * SECOND:
            row["t_ns"] += 100 * rest_ns
            if "received_ns" in row["meta"]:
                row["meta"]["received_ns"] += 100 * rest_ns


@pytest.mark.parametrize(("rest_ms", "found"), [(3, set()), (4, {"R035"})])
def test_a_closed_loop_that_rests_after_its_answers_is_found(served_run: Any, rest_ms: int, found: set[str]) -> None:
    """The median latency is 32 ms: over 3.2 ms is too long, though each request was issued when it was due."""
    rested(served_run, rest_ms * MS)
    assert findings_of(served_run) == found


@pytest.mark.parametrize(
    ("late", "rest_ms", "found"), [((98,), 30, set()), ((97, 98), 30, {"R035"}), ((98,), 40, {"R035"})]
)
def test_one_late_query_of_a_hundred_is_chance_and_two_or_a_long_one_are_not(
    served_run: Any, late: tuple[int, ...], rest_ms: int, found: set[str]
) -> None:
    """The median latency is 32 ms; of 99 gaps the 99th percentile is the longest."""
    for name in ("scheduled_ns", "issued_ns", "first_ns", "last_ns"):
        column = served_run.requests[name]
        served_run.requests[name] = [
            at + rest_ms * MS * sum(row >= one for one in late) for row, at in enumerate(column)
        ]
    for row in served_run.rows:
        if row["t_ns"] > 2 * SECOND:
            row["t_ns"] += 100 * MS
            if "received_ns" in row["meta"]:
                row["meta"]["received_ns"] += 100 * MS
    assert findings_of(served_run) == found


def test_gaps_of_several_streams_count_from_the_answer_that_made_room(served_run: Any) -> None:
    """Two at a time: the third query has room after the first end, at 4 ns, the fourth after the second, at 5 ns."""
    columns = {"query": (0, 1, 2, 3), "scheduled_ns": (0, 0, 5, 9), "first_ns": (4, 3, 6, 9), "last_ns": (5, 4, 8, 9)}
    table = replace(served_run.evidence().requests, **columns, outcome=("ok",) * 4)
    assert idle_gaps_s(Served(table), 2) == pytest.approx([1e-9, 4e-9])
    failed = replace(table, outcome=("ok", "cut", "ok", "ok"))
    assert idle_gaps_s(Served(failed), 2) == pytest.approx([0.0, 1e-9])


def test_another_rate_than_the_one_said_is_found(make_served: Any) -> None:
    run = make_served("server", 20.0)
    update(run, rate_per_s=21.0)
    assert findings_of(run) == {"R035"}


def test_a_cut_answer_is_found_though_it_counts_as_failed(served_run: Any) -> None:
    served_run.fail(3, "truncated")
    assert findings_of(served_run) == {"R038", "R042"}


def test_arrivals_handed_over_out_of_order_are_still_on_schedule(make_served: Any) -> None:
    run = make_served("server", 20.0)
    for column in run.requests.values():
        column[40], column[41] = column[41], column[40]
    assert findings_of(run) == set()


def test_lateness_is_held_to_the_scenarios_tightest_bound(make_served: Any) -> None:
    """3.4 ms late: over 10 % of the 33 ms median; under 10 % of 100 ms to the first token, and of 35 ms in all."""
    closed, server, interactive = make_served(), make_served("server", 20.0), make_served("interactive", 20.0)
    for run in (closed, server, interactive):
        run.requests["issued_ns"] = [due + 34 * MS // 10 for due in run.requests["scheduled_ns"]]
    assert findings_of(closed) == {"R036"}
    assert findings_of(server) == findings_of(interactive) == set()


def test_a_late_generator_is_found_though_most_requests_failed(served_run: Any) -> None:
    served_run.requests["issued_ns"] = [due + 100 * MS // 10 for due in served_run.requests["scheduled_ns"]]
    for row in range(31, 100):
        served_run.fail(row, "cut")
    assert findings_of(served_run) == {"R036", "R042"}


def test_an_answer_that_was_never_given_cannot_be_assessed(served_run: Any) -> None:
    served_run.answers["index"][1] = 777
    assert findings_of(served_run) == {"R040"}


def test_two_counts_that_agree_are_no_finding(served_run: Any) -> None:
    served_run.find(keys.SERVED)["meta"].update(tokens_counted_twice={"answers": 100, "differ": 0, "most": 0})
    assert findings_of(served_run) == set()


def test_answers_that_somebody_chose_cannot_stand_for_those_that_the_seed_picks(served_run: Any) -> None:
    """One other in place of a picked one; one more."""
    picked = list(served_run.answers["index"])
    other = next(index for index in range(100) if index not in picked)
    served_run.answers["index"] = [*picked[:3], other]
    assert findings_of(served_run) == {"R040"}
    served_run.answers["index"] = picked
    for name, values in served_run.answers.items():
        served_run.answers[name] = [*values, other if name == "index" else values[0]]
    assert findings_of(served_run) == {"R040"}


def test_a_picked_request_that_failed_makes_room_for_the_next(served_run: Any) -> None:
    picked = list(served_run.answers["index"])
    served_run.fail(picked[0], "cut")
    served_run.answers["index"] = picked
    assert findings_of(served_run) == {"R040", "R042"}
    words = raw_words(served_run.spec.seed, "assess", first_block=0, count=4 * 100)[::4].tolist()
    answered = [index for index in range(100) if index != picked[0]]
    served_run.answers["index"] = sorted(sorted(answered, key=words.__getitem__)[:4])
    assert findings_of(served_run) == {"R042"}


@pytest.mark.parametrize(
    "columns",
    [
        {"agreed_count": [0] * 4, "compared_count": [0] * 4},
        {"agreed_count": [2] * 4, "compared_count": [2] * 4},
        {"token_count": [0] * 4},
    ],
)
def test_assessed_answers_are_scored_and_compared_whole(served_run: Any, columns: dict[str, list[int]]) -> None:
    served_run.answers.update(columns)
    assert findings_of(served_run) == {"R040"}


@pytest.mark.parametrize(
    ("counts", "found"),
    [({"asked": 800, "cached": 700}, False), ({"asked": 800, "cached": 0}, False), ({"asked": 792, "cached": 0}, True),
     ({"asked": 800, "cached": 701}, True), ({"asked": 800, "cached": -1}, True), ({}, True), ({"asked": 800}, True)],
)  # fmt: skip
def test_prompt_tokens_of_a_cache_are_held_to_the_table(served_run: Any, counts: dict[str, int], found: bool) -> None:
    with_cache(served_run, **counts)
    assert ("R051" in findings_of(served_run)) is found


@pytest.mark.parametrize(
    ("counts", "found"),
    [({"proposed": 500}, False), ({"proposed": 200}, False), ({"proposed": 600}, False), ({"proposed": 601}, True),
     ({"proposed": 199}, True), ({"proposed": 500, "verified": 199}, True), ({"proposed": 500, "accepted": 199}, True),
     ({}, True)],
)  # fmt: skip
def test_what_a_draft_proposed_is_held_to_the_table(served_run: Any, counts: dict[str, int], found: bool) -> None:
    with_draft(served_run, **({"verified": 200, "accepted": 200} | counts))
    assert ("R052" in findings_of(served_run)) is found


def test_tokens_that_come_together_need_a_draft_that_is_declared(served_run: Any) -> None:
    change(served_run, **{"execution.draft": ""})
    assert "R052" not in findings_of(served_run)
    served_run.requests["gaps_ns"][7] = (4 * MS, 0, 2 * MS, 2 * MS)
    assert "R052" in findings_of(served_run)


@pytest.mark.parametrize("key", ["execution.prefix_cache", "endpoint.prefix_cache"])
def test_a_cache_that_is_declared_is_no_cheat(served_run: Any, key: str) -> None:
    answered_from_a_cache(served_run)
    change(served_run, **{key: "on"})
    assert "R048" not in findings_of(served_run)
    served_run.drop(keys.REPEATS)
    assert "R049" not in findings_of(served_run)


def test_twenty_of_twenty_four_pairs_over_the_margin_are_sure_and_nineteen_are_not(served_run: Any) -> None:
    """P(X >= 20) = 12951 / 2^24 and P(X >= 19) = 55455 / 2^24, about 8 and 33 in 10,000."""
    meta = served_run.find(keys.REPEATS)["meta"]
    meta.update(new_ns=[1101] * 20 + [500] * 4, repeated_ns=[1000] * 24)
    assert findings_of(served_run) == {"R048"}
    meta.update(new_ns=[1101] * 19 + [1100] * 5)
    assert findings_of(served_run) == set()


@pytest.mark.parametrize(
    "damage",
    [{"new_ns": [5] * 9, "repeated_ns": [5] * 9}, {"new_ns": [5] * 23}, {"new_ns": ["5"] * 24}, {"repeated_ns": None},
     {"repeated_ns": [0] * 24}],
)  # fmt: skip
def test_times_that_tell_nothing_are_said_to(served_run: Any, damage: dict[str, Any]) -> None:
    served_run.find(keys.REPEATS)["meta"].update(damage)
    assert findings_of(served_run) == {"R049"}


def test_a_training_is_not_asked_what_served_runs_are(toy_run: Any) -> None:
    toy_run.spec = toy_run.spec.model_copy(
        update={"settings": {**toy_run.spec.settings, "requests.prompts": "repeated"}, "division": "open"}
    )
    assert "R043" not in findings_of(toy_run)


def test_too_few_queries_break_the_terms(served_run: Any) -> None:
    few_queries(served_run)
    assert findings_of(served_run) == {"R034", "R045"}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("gaps_ns", (2 * MS, 2 * MS, 2 * MS, 3 * MS)),
        ("gaps_ns", (4 * MS, 4 * MS)),
        ("gaps_ns", (9 * MS, 1 * MS, -1 * MS, -1 * MS)),
        ("tokens", (1, 2, 3)),
        ("first_ns", -1),
        ("last_ns", 9 * SECOND),
    ],
)
def test_times_that_do_not_fit_each_other_are_found(served_run: Any, column: str, value: Any) -> None:
    served_run.requests[column][50] = value
    assert "R039" in findings_of(served_run)
