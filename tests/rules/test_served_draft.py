"""What a draft was worth, by hand, and what its tokens that came together do to times and rates."""

from __future__ import annotations

from typing import Any

import pytest

from oildrop.rules import keys
from oildrop.rules.judge import judge
from oildrop.rules.records import Metric

MS = 1_000_000
NAMES = ("draft_acceptance_rate", "draft_acceptance_length")


def metrics_of(run: Any) -> dict[str, Metric]:
    return {metric.name: metric for metric in judge(run.evidence(), run.rulebook).metrics if not metric.dims}


def declare(run: Any) -> None:
    settings = {**run.spec.settings, "execution.draft": "small", "execution.draft_tokens": 3}
    run.spec = run.spec.model_copy(update={"settings": settings})


def test_both_follow_from_the_table_and_what_was_proposed(served_run: Any) -> None:
    """100 answers of five tokens: one, then three at once, then one. Of 100 x 2 steps those brought 400 tokens."""
    declare(served_run)
    served_run.requests["gaps_ns"] = [(5 * MS, 0, 0, 3 * MS)] * 100
    served_run.find(keys.SERVED)["meta"].update(draft_verified=200, draft_proposed=320, draft_accepted=200)
    found = metrics_of(served_run)
    assert [found[name].value for name in NAMES] == [200 / 320, 2.0]
    assert [found[name].sample_count for name in NAMES] == [320, 200]
    assert [(found[name].unit, found[name].scope) for name in NAMES] == [("1", "run"), ("tokens/step", "run")]


def test_times_count_tokens_and_not_steps(served_run: Any) -> None:
    before = metrics_of(served_run)
    declare(served_run)
    served_run.requests["gaps_ns"] = [(5 * MS, 0, 0, 3 * MS)] * 100
    found = metrics_of(served_run)
    for name in ("tpot_s", "ttft_s_p99", "latency_s_p99", "decode_tokens_per_s", "output_tokens_per_s", "itl_s"):
        assert found[name].value == before[name].value
    # 8 ms over four tokens after the first; half of the gaps are nothing.
    assert found["tpot_s_p50"].value == found["itl_s"].value == pytest.approx(0.002)
    assert [found[f"itl_s_{ending}"].value for ending in ("p50", "p90", "p99")] == [0.003, 0.005, 0.005]
    assert found["mbu"].value is None and "draft" in (found["mbu"].reason or "")


def test_a_run_without_a_draft_says_so(served_run: Any) -> None:
    found = metrics_of(served_run)
    assert {(found[name].value, found[name].status) for name in NAMES} == {(None, "not_applicable")}


@pytest.mark.parametrize("meta", [{}, {"draft_proposed": 4}, {"draft_verified": 1, "draft_accepted": 1}])
def test_counts_that_are_not_there_are_no_rate_of_nothing(served_run: Any, meta: dict[str, int]) -> None:
    declare(served_run)
    served_run.find(keys.SERVED)["meta"].update(meta)
    rate = metrics_of(served_run)["draft_acceptance_rate"]
    assert (rate.value, rate.status) == (None, "not_measured")
    assert "does not say" in (rate.reason or "")


def test_answers_of_one_token_have_neither(served_run: Any) -> None:
    declare(served_run)
    served_run.find(keys.SERVED)["meta"].update(draft_verified=0, draft_proposed=0, draft_accepted=0)
    for name, value in (("output_tokens", 1), ("expected_tokens", 1), ("gaps_ns", ()), ("tokens", (1,))):
        served_run.requests[name] = [value] * 100
    served_run.requests["last_ns"] = list(served_run.requests["first_ns"])
    found = metrics_of(served_run)
    assert {(found[name].value, found[name].status) for name in NAMES} == {(None, "not_measured")}
