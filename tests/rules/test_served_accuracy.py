"""Accuracy of the answers of a served run: its metric, its limit against the reference's, and tables without it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from oildrop.rules.identity import workload_id
from oildrop.rules.judge import judge
from oildrop.rules.records import Judgement

Make = Callable[..., Any]


@pytest.fixture
def judged_with(served_run: Any) -> Make:
    """Judges the toy with 100 answers of one token each, of which so many are right; `least` of the reference's."""

    def judged(
        right: tuple[int, ...] | None, of_reference: int = 90, *, least: float | None = 0.99, **settings: Any
    ) -> Judgement:
        run, rows = served_run, 100
        benchmark = run.rulebook.benchmarks["toy-serve"]
        quality = benchmark.quality.model_copy(update={"accuracy": "accuracy", "least_relative_accuracy": least})
        tier = benchmark.tiers["nano"]
        all_of_them = {"assess.share": 1, "assess.least": rows, "assess.most": rows}
        tier = tier.model_copy(update={"settings": {**tier.settings, **all_of_them}})
        asked = benchmark.model_copy(update={"quality": quality, "tiers": {"nano": tier}})
        run.rulebook = replace(run.rulebook, benchmarks={**run.rulebook.benchmarks, "toy-serve": asked})
        run.answers = {
            "index": range(rows), "loss_nats": [0.2] * rows, "source_nats": [0.0] * rows, "token_count": [1] * rows,
            "agreed_count": [5] * rows, "compared_count": [5] * rows,
        }  # fmt: skip
        if right is not None:
            reference = [1] * of_reference + [0] * (rows - of_reference)
            run.answers |= {"correct_count": right, "reference_correct_count": reference}
        spec, changed = run.spec, {**run.spec.settings, **all_of_them, **settings}
        workload = workload_id(spec.benchmark_sha256, spec.tier, spec.division, changed)
        run.spec = spec.model_copy(update={"settings": changed, "workload_id": workload})
        return judge(run.evidence(), run.rulebook)

    return judged


def of(right: int) -> tuple[int, ...]:
    return (1,) * right + (0,) * (100 - right)


def test_accuracy_is_the_share_that_is_right_with_the_references_beside_it(judged_with: Make) -> None:
    """Wilson's 95 % interval of 88 in 100, by hand: centre (0.88 + z²/200) / (1 + z²/100), from 80.2 % to 93.0 %."""
    judgement = judged_with(of(88))
    found = judgement.headline("final_accuracy")
    assert (found.value, found.sample_count, found.formula) == (0.88, 100, "accuracy/1")
    assert found.uncertainty == pytest.approx(0.88 - 0.8019, abs=1e-4)
    (reference,) = [metric for metric in judgement.metrics if metric.dims == {"model": "reference"}]
    assert (reference.name, reference.value) == ("final_accuracy", 0.9)
    assert judgement.outcome == "ok" and judgement.findings == ()


def test_a_model_that_is_surely_less_accurate_than_the_reference_fails(judged_with: Make) -> None:
    """Of 100 answers 82 may come from an accuracy of 88.3 %, under 99 % of 90 %; 83 from one of 89.1 %, just not."""
    assert judged_with(of(83)).outcome == "ok"
    judgement = judged_with(of(82))
    assert judgement.outcome == "accuracy_fail"
    assert judgement.reason == (
        "82.00% of 100 assessed answers are right, at most 88.30% of all are; the reference has 90.00%, of which 99% "
        "must be reached"
    )


def test_nothing_is_failed_where_no_accuracy_is_asked_or_weights_are_random(judged_with: Make) -> None:
    assert judged_with(of(10), least=None).outcome == "ok"
    random = judged_with(of(10), **{"weights.source": "random"})
    assert random.outcome != "accuracy_fail"
    assert random.headline("final_accuracy").status == "not_applicable"
    assert "random" in str(random.headline("final_accuracy").reason)


def test_a_benchmark_without_right_answers_lists_the_metric_with_its_reason(served_run: Any) -> None:
    metric = judge(served_run.evidence(), served_run.rulebook).headline("final_accuracy")
    assert (metric.value, metric.status) == (None, "not_applicable")
    assert metric.reason == "this benchmark calls no answer right or wrong"


@pytest.mark.parametrize("right", [None, (2,) * 100, (-1, *(1,) * 99)])
def test_answers_that_do_not_say_which_were_right_are_not_assessed(judged_with: Make, right: Any) -> None:
    judgement = judged_with(right)
    assert judgement.outcome == "invalid"
    assert "which of them were right" in str(judgement.reason)
    assert {finding.rule for finding in judgement.findings} == {"R040"}
