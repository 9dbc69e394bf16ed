"""Every rule that a training is asked has a run that keeps it and one that breaks it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from beside_another import short_overlap
from meter_breakers import METER_BREAKERS, sound_meter
from trust_breakers import TRUST_BREAKERS, slowing_training

from oildrop.rules import keys
from oildrop.rules.checks.registry import CHECKS
from oildrop.rules.evidence import Problem, Series
from oildrop.rules.judge import judge

SECOND = 1_000_000_000


def second_start(run: Any) -> None:
    run.add(keys.RUN_START, 1.0)


def changed_file(run: Any) -> None:
    run.problems = (Problem(file="events.jsonl", message="line 3 of events.jsonl does not follow the line before it"),)


def block_without_count(run: Any) -> None:
    run.find(keys.BLOCK_STOP)["meta"]["samples"] = "many"


def failed_gate(run: Any) -> None:
    run.find(keys.GATE)["meta"].update(passed=False, value=0.5)


def flattered_quality(run: Any) -> None:
    run.find(keys.EVAL_ACCURACY, 2)["value"] = 0.39


def model_that_knows_the_answers(run: Any) -> None:
    run.evaluations[40] = run.table(40, -1.1)
    run.find(keys.EVAL_ACCURACY, 2)["value"] = -1.1


def locked_setting(run: Any) -> None:
    settings = {**run.spec.settings, "model.width": 16}
    run.spec = run.spec.model_copy(update={"settings": settings})


def other_benchmark_file(run: Any) -> None:
    run.spec = run.spec.model_copy(update={"benchmark_sha256": "0" * 64})


def foreign_system_id(run: Any) -> None:
    run.spec = run.spec.model_copy(update={"system_id": "0" * 16})


def foreign_seed(run: Any) -> None:
    run.spec = run.spec.model_copy(update={"seed": 7})


def wrong_claim(run: Any) -> None:
    run.find(keys.OUTCOME)["value"] = "diverged"


def slept(run: Any) -> None:
    run.add(keys.CLOCK, 2.0, "suspend", proc="supervisor", by_s=30.0)


def stamp_goes_back(run: Any) -> None:
    run.find(keys.EVAL_START, 1)["t_ns"] = 2 * SECOND


def stamped_after_receipt(run: Any) -> None:
    run.find(keys.EVAL_STOP, 1)["meta"]["received_ns"] = 0


def skipped_evaluation(run: Any) -> None:
    for key in (keys.EVAL_START, keys.EVAL_STOP, keys.EVAL_ACCURACY):
        run.rows.remove(run.find(key, 1))


def lost_samples(run: Any) -> None:
    run.find(keys.BLOCK_START, 1)["meta"]["samples"] = 25


def slow_set_up(run: Any) -> None:
    for row in run.rows[2:]:
        row["t_ns"] += 40 * SECOND
        if "received_ns" in row["meta"]:
            row["meta"]["received_ns"] += 40 * SECOND


def short_deadline(run: Any) -> None:
    run.drop(keys.RUN_STOP)
    limits = run.spec.limits.model_copy(update={"deadline_s": 1.0})
    run.spec = run.spec.model_copy(update={"limits": limits})
    run.find(keys.OUTCOME).update(value="timeout")
    run.find(keys.OUTCOME)["meta"]["limit"] = "deadline"


def head_start(run: Any) -> None:
    run.find(keys.WEIGHTS_SHA256, 1)["value"] = "c" * 64


def neighbour(run: Any) -> None:
    run.add(keys.OTHER_RUN, 2.0, "another", proc="supervisor", device="cpu")


def loaded_host(run: Any) -> None:
    run.find(keys.HOST_STATE)["meta"]["load_1m"] = 1.9


def stolen_time(run: Any) -> None:
    run.series = (
        Series(meter="process", quantity="steal_s", device="cpu", scope="node", t_ns=(0, SECOND), values=(0.0, 0.1)),
    )


def throttled(run: Any) -> None:
    run.find(keys.HOST_STATE, 1)["meta"]["throttle_count"] = 4


def unsealed(run: Any) -> None:
    run.sealed = False


def heavy_harness(run: Any) -> None:
    run.find(keys.OVERHEAD)["meta"]["supervisor_cpu_s"] = 0.5


def far_too_fast(run: Any) -> None:
    shift = {20: 0.4, 30: 0.3, 40: 0.2}
    for index, samples in enumerate(run.QUALITIES):
        run.find(keys.EVAL_ACCURACY, index)["value"] = shift[samples]
        run.evaluations[samples] = run.table(samples, shift[samples])


def batch_without_reference(run: Any) -> None:
    settings = {**run.spec.settings, "data.documents_per_batch": 2}
    run.spec = run.spec.model_copy(update={"settings": settings, "division": "open"})


def wall_clock_set(run: Any) -> None:
    run.add(keys.CLOCK, 2.0, "set_back", proc="supervisor", by_s=3600.0)


def chosen_seed(run: Any) -> None:
    run.spec = run.spec.model_copy(update={"seeds_chosen": True})


def late_outcome_only(run: Any) -> None:
    """R025 needs a listed part whose peak is beaten."""
    part = next(part for part in run.rulebook.devices if "fp32" in part.peak_flop_per_s)
    cpu = run.system.cpu.model_copy(update={"model": part.match[0]})
    run.system = run.system.model_copy(update={"cpu": cpu})
    run.spec = run.spec.model_copy(
        update={
            "system_id": run.system.system_id(),
            "settings": {
                **run.spec.settings,
                "model.layers": 10**6, "model.width": 10**5, "model.heads": 1, "model.key_value_heads": 1,
                "model.hidden": 10**5,
                "data.words": 1, "data.names": 1, "data.brackets": 1, "data.document_tokens": 64,
            },
        }
    )  # fmt: skip


def other_batches(run: Any) -> None:
    run.add(keys.BATCH_SHA256, 3.2, "c" * 64, proc="worker-1", batches=4)


def restarted(run: Any) -> None:
    run.add(keys.RESTART, 0.6, 1, proc="supervisor", rank=1, signal="SIGKILL", reason="killed", samples=0, steps=0)
    run.rows.insert(2, run.rows.pop())


BREAKERS: dict[str, Callable[[Any], None]] = {
    "R001": second_start,
    "R002": changed_file,
    "R003": block_without_count,
    "R004": failed_gate,
    "R005": flattered_quality,
    "R006": model_that_knows_the_answers,
    "R007": locked_setting,
    "R008": other_benchmark_file,
    "R009": foreign_system_id,
    "R010": foreign_seed,
    "R011": wrong_claim,
    "R012": slept,
    "R013": stamp_goes_back,
    "R014": stamped_after_receipt,
    "R015": skipped_evaluation,
    "R016": lost_samples,
    "R017": slow_set_up,
    "R018": short_deadline,
    "R019": head_start,
    "R020": neighbour,
    "R021": loaded_host,
    "R022": stolen_time,
    "R023": throttled,
    "R024": unsealed,
    "R025": late_outcome_only,
    "R026": heavy_harness,
    "R027": far_too_fast,
    "R028": far_too_fast,
    "R029": wall_clock_set,
    "R030": chosen_seed,
    "R031": batch_without_reference,
    "R032": other_batches,
    "R033": restarted,
    "R070": short_overlap,
    **METER_BREAKERS,
    **TRUST_BREAKERS,
    "R088": slowing_training,
}


def findings_of(run: Any) -> set[str]:
    return {finding.rule for finding in judge(run.evidence(), run.rulebook).findings}


def test_rules_checks_and_breaking_cases_are_the_same_set(toy_run: Any) -> None:
    rules = toy_run.rulebook.rules
    assert set(rules) == set(CHECKS)
    assert {name for name, rule in rules.items() if "to_target" in rule.kinds} == set(BREAKERS)


def test_a_clean_run_keeps_every_rule(toy_run: Any) -> None:
    assert findings_of(toy_run) == set()


def test_a_run_with_a_sound_meter_keeps_every_rule(toy_run: Any) -> None:
    sound_meter(toy_run)
    assert findings_of(toy_run) == set()


@pytest.mark.parametrize("rule", sorted(BREAKERS))
def test_a_broken_run_is_found(toy_run: Any, rule: str) -> None:
    BREAKERS[rule](toy_run)
    assert rule in findings_of(toy_run)


@pytest.mark.parametrize("rule", sorted(BREAKERS))
def test_severity_decides_the_outcome(toy_run: Any, rule: str) -> None:
    BREAKERS[rule](toy_run)
    judgement = judge(toy_run.evidence(), toy_run.rulebook)
    grave = any(finding.severity in ("broken", "invalid") for finding in judgement.findings)
    if toy_run.find(keys.OUTCOME)["value"] == "timeout":
        assert judgement.outcome == "timeout"
    elif rule == "R001" or not grave:
        assert judgement.outcome == ("invalid" if grave else "ok")
    else:
        assert judgement.outcome == "invalid"
        assert judgement.reason is not None
