"""Logs of several ranks, and of runs that were started again: what counts, what is lost, what is said."""

from __future__ import annotations

from typing import Any

import pytest

from oildrop.rules import keys
from oildrop.rules.case import Case
from oildrop.rules.judge import judge

BLOCK_KEYS = (keys.BLOCK_START, keys.BLOCK_STOP, keys.BATCH_SHA256, keys.EVAL_START, keys.EVAL_STOP, keys.EVAL_ACCURACY)


def findings(run: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in judge(run.evidence(), run.rulebook).findings:
        found.setdefault(finding.rule, []).append(finding.message)
    return found


def fall_back_to_20(run: Any, *, samples: int = 20) -> None:
    """After the evaluation at 30 samples a rank dies; the ranks go on from 20 and take 5 s more to everything."""
    second = [index for index, row in enumerate(run.rows) if row["key"] == keys.EVAL_ACCURACY][1]
    again = [dict(row, meta=dict(row["meta"])) for row in run.rows[: second + 1] if row["key"] in BLOCK_KEYS][6:]
    head, tail = run.rows[: second + 1], run.rows[second + 1 :]
    run.rows = head
    meta = {"rank": 1, "signal": "SIGKILL", "reason": "rank 1 was ended by SIGKILL", "samples": samples, "steps": 4}
    run.add(keys.RESTART, 5.0, 1, proc="supervisor", **meta)
    for row in [*again, *tail]:
        row["t_ns"] += 5 * 10**9
        if "received_ns" in row["meta"]:
            row["meta"]["received_ns"] += 5 * 10**9
    run.rows += [*again, *tail]


def test_work_after_the_checkpoint_is_left_out_and_done_again(toy_run: Any) -> None:
    fall_back_to_20(toy_run)
    timeline = Case(toy_run.evidence(), toy_run.rulebook).timeline
    assert [(block.samples_before, block.samples) for block in timeline.blocks] == [(0, 20), (20, 10), (30, 10)]
    assert [mark.samples for mark in timeline.evaluations] == [20, 30, 40]
    (restart,) = timeline.restarts
    assert (restart.rank, restart.samples, restart.lost_samples) == (1, 20, 10)


def test_the_clock_runs_on(make_run: Any) -> None:
    clean, fallen = make_run(), make_run()
    fall_back_to_20(fallen)
    before, after = (judge(run.evidence(), run.rulebook) for run in (clean, fallen))
    assert after.outcome == "ok"
    lost_s = after.headline("time_to_target_raw_s").value - before.headline("time_to_target_raw_s").value
    assert lost_s == pytest.approx(5.0)
    assert after.headline("train_tokens_per_s").value == before.headline("train_tokens_per_s").value
    assert [judgement.headline("restarts").value for judgement in (before, after)] == [0, 1]


def test_a_restart_is_worth_knowing_and_breaks_no_rule(toy_run: Any) -> None:
    fall_back_to_20(toy_run)
    expected = "the ranks were restarted once, 10 samples were trained again; last: rank 1 was ended by SIGKILL"
    assert findings(toy_run) == {"R033": [expected]}


def test_ranks_cannot_go_on_from_samples_that_nobody_had(toy_run: Any) -> None:
    fall_back_to_20(toy_run, samples=10)
    assert "a block begins after 20 samples, 0 were consumed before it" in findings(toy_run)["R016"]


def test_a_block_that_the_crash_cut_short_does_not_shift_the_others(toy_run: Any) -> None:
    fall_back_to_20(toy_run)
    place = next(index for index, row in enumerate(toy_run.rows) if row["key"] == keys.RESTART)
    toy_run.add(keys.BLOCK_START, 4.9, samples=30)
    toy_run.rows.insert(place, toy_run.rows.pop())
    timeline = Case(toy_run.evidence(), toy_run.rulebook).timeline
    assert [block.duration_s for block in timeline.blocks] == pytest.approx([2.0, 1.0, 1.0])


def test_processor_time_that_starts_over_gives_no_busy_fraction(toy_run: Any) -> None:
    fall_back_to_20(toy_run)
    metric = judge(toy_run.evidence(), toy_run.rulebook).headline("busy_fraction")
    assert (metric.value, metric.status) == (None, "not_measured")
    assert "restarted" in str(metric.reason)


def join_rank_1(run: Any) -> None:
    """A second rank that agrees in everything."""
    for rank in (0, 1):
        run.add(keys.PROCESS, 0.1, f"worker-{rank}", proc="supervisor", rank=rank)
        run.add(keys.BENCHMARK_SHA256, 0.1, run.spec.benchmark_sha256, proc=f"worker-{rank}")
    run.add(keys.WEIGHTS_SHA256, 0.9, "a" * 64, proc="worker-1", when="init")
    run.add(keys.BATCH_SHA256, 3.0, "b" * 64, proc="worker-1", batches=4)
    run.rows.sort(key=lambda row: row["t_ns"])


@pytest.mark.parametrize("key", [keys.BENCHMARK_SHA256, keys.WEIGHTS_SHA256, keys.BATCH_SHA256])
def test_ranks_must_agree_and_must_say_so(make_run: Any, key: str) -> None:
    agreeing, other, silent = make_run(), make_run(), make_run()
    for run in (agreeing, other, silent):
        join_rank_1(run)
    assert "R032" not in findings(agreeing)
    next(row for row in other.rows if (row["key"], row["proc"]) == (key, "worker-1"))["value"] = "c" * 64
    assert "R032" in findings(other)
    assert judge(other.evidence(), other.rulebook).outcome == "invalid"
    silent.rows = [row for row in silent.rows if (row["key"], row["proc"]) != (key, "worker-1")]
    assert "worker-1 logged no hash" in findings(silent)["R032"][0]


@pytest.mark.parametrize("devices", [1, 4])
def test_rates_a_device_are_the_whole_over_the_devices(toy_run: Any, devices: int) -> None:
    settings = {**toy_run.spec.settings, "execution.devices": devices}
    toy_run.spec = toy_run.spec.model_copy(update={"settings": settings})
    judgement = judge(toy_run.evidence(), toy_run.rulebook)
    # 40 samples of 10 tokens in 4 s of blocks
    assert judgement.headline("train_tokens_per_s_per_device").value == pytest.approx(100 / devices)
    assert judgement.headline("train_samples_per_s_per_device").value == pytest.approx(10 / devices)
    efficiency = judgement.headline("scaling_efficiency")
    assert (efficiency.value, efficiency.status) == (None, "not_applicable")
    assert "oildrop compare" in str(efficiency.reason)
