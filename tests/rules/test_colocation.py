"""Two at once: the overlap, what each loses in it, and energy that is counted once."""

from __future__ import annotations

import math
from typing import Any

import pytest
from beside_another import OTHER, SECOND, put_beside, short_overlap, slower
from meter_breakers import POWER_W, sound_meter

from oildrop.rules import keys
from oildrop.rules.colocation import Part, colocation_of
from oildrop.rules.formulas.colocation import amount_inside, energy_ratio, loss_fraction, overlap_ns
from oildrop.rules.identity import workload_id
from oildrop.rules.judge import judge
from oildrop.rules.records import Colocation, Metric
from oildrop.rules.tracks import track_of

OVERLAP = {"window": "overlap"}


def metrics_of(run: Any) -> dict[tuple[str, bool], Metric]:
    """Headlines, and with True the metrics of the overlap."""
    found = judge(run.evidence(), run.rulebook).metrics
    return {(each.name, each.dims == OVERLAP): each for each in found if each.dims in ({}, OVERLAP)}


def findings_of(run: Any) -> set[str]:
    return {finding.rule for finding in judge(run.evidence(), run.rulebook).findings}


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [((0, 10), (4, 20), (4, 10)), ((4, 6), (0, 10), (4, 6)), ((0, 4), (4, 8), None), ((0, 1), (2, 3), None)],
)
def test_the_overlap_is_from_the_later_start_to_the_earlier_stop(one: Any, other: Any, both: Any) -> None:
    assert overlap_ns(one, other) == overlap_ns(other, one) == both


def test_work_in_the_overlap_counts_a_cut_block_by_its_share_of_time() -> None:
    windows = [(0, 10), (10, 30), (30, 40)]
    assert amount_inside([100, 100, 100], windows, (5, 25)) == 50 + 75
    assert amount_inside([100, 100, 100], windows, (0, 40)) == 300


def test_losses_and_energy_ratios_in_closed_form() -> None:
    assert loss_fraction(0.75) == 0.25
    assert energy_ratio(90.0, (50.0, 50.0)) == 0.9
    with pytest.raises(ValueError, match="no energy"):
        energy_ratio(1.0, (0.0, 0.0))


def test_a_training_beside_another_is_timed_in_the_blocks_that_both_clocks_saw_whole(toy_run: Any) -> None:
    put_beside(toy_run, 2.0, 60.0, "ok")  # on its own clock from 1.0 to 5.3 s; blocks 1 to 3, 3.1 to 4.1, 4.2 to 5.2
    found = metrics_of(toy_run)
    rate = found["train_tokens_per_s", True]
    assert (rate.value, rate.sample_count) == (pytest.approx(200 / 2.0), 2)
    assert rate.window_ns == (round(3.1 * SECOND), round(5.2 * SECOND))
    assert found["train_samples_per_s", True].value == pytest.approx(10.0)


def test_requests_beside_another_count_where_they_ended_and_latency_where_they_were_due(served_run: Any) -> None:
    put_beside(served_run, 1.0 + 0.1, 1.0 + 1.1, "ok")  # one second, 0.1 s into the clock
    table = served_run.requests
    ended = sum(0.1 * SECOND <= last <= 1.1 * SECOND for last in table["last_ns"])
    due = [row for row, at_ns in enumerate(table["scheduled_ns"]) if 0.1 * SECOND <= at_ns < 1.1 * SECOND]
    slowest = sorted((table["last_ns"][row] - table["scheduled_ns"][row]) / SECOND for row in due)
    found = metrics_of(served_run)
    assert found["requests_per_s", True].value == pytest.approx(ended)
    assert found["requests_per_s", True].sample_count == ended
    assert found["latency_s_p99", True].value == pytest.approx(slowest[int(len(slowest) * 0.99)])


def test_energy_of_both_is_read_once_and_belongs_to_neither(toy_run: Any) -> None:
    sound_meter(toy_run)
    put_beside(toy_run, 2.0, None)  # the other's clock ran on
    found = metrics_of(toy_run)
    for name in ("energy_j", "power_w", "energy_per_token_j", "energy_to_target_j"):
        assert found[name, False].value is None
        assert OTHER in str(found[name, False].reason)
    joint, a_token = found["energy_j", True], found["energy_per_token_j", True]
    assert joint.value == pytest.approx(POWER_W * 3.3, rel=0.05)
    assert a_token.sample_count == 100 + 200  # half of the first block, and both others
    assert a_token.value == pytest.approx(joint.value / 300)


@pytest.mark.parametrize(
    ("start_s", "stop_s", "outcome", "reason"),
    [
        (None, None, "oom", "never started"),
        (2.0, None, "crash", "ended as crash before its clock was stopped"),
        (7.0, 9.0, "ok", "never ran at the same time"),
    ],
)
def test_without_an_overlap_every_figure_of_it_is_missing_and_says_why(
    toy_run: Any, start_s: float | None, stop_s: float | None, outcome: str, reason: str
) -> None:
    put_beside(toy_run, start_s, stop_s, outcome)
    found = [metric for (_, over), metric in metrics_of(toy_run).items() if over]
    assert found
    assert all(metric.value is None and reason in str(metric.reason) for metric in found)
    assert "R070" in findings_of(toy_run)


@pytest.mark.parametrize(
    ("blocks", "reason"),
    [
        (3, "none of the 3 blocks of steps (1.00 s and longer) lies wholly in the overlap of 0.70 s; make the run"),
        (1, "all steps are one block of 2.00 s, which does not lie wholly in the overlap of 0.70 s; take a larger"),
        (0, "no training block was completed"),
    ],
)
def test_a_training_rate_without_a_whole_block_says_what_would_give_one(toy_run: Any, blocks: int, reason: str) -> None:
    kept = [row for row in toy_run.rows if row["key"] == keys.BLOCK_STOP][:blocks]
    toy_run.rows[:] = [row for row in toy_run.rows if row["key"] != keys.BLOCK_STOP or row in kept]
    put_beside(toy_run, 2.5, 3.2, "ok")
    found = metrics_of(toy_run)
    for name in ("train_tokens_per_s", "train_samples_per_s"):
        assert found[name, True].value is None
        assert str(found[name, True].reason).startswith(reason)


def test_a_run_beside_the_one_it_declares_keeps_every_rule(toy_run: Any) -> None:
    slower(toy_run, 2)
    before = findings_of(toy_run)
    put_beside(toy_run, 1.0, 60.0, "ok")
    assert findings_of(toy_run) == before


def test_another_run_than_the_declared_one_is_found(toy_run: Any) -> None:
    short_overlap(toy_run)
    assert "R020" not in findings_of(toy_run)
    toy_run.add(keys.OTHER_RUN, 2.0, "a-third", proc="supervisor", device="cpu")
    assert "R020" in findings_of(toy_run)


def test_a_run_beside_another_is_a_configuration_and_a_track_of_its_own(toy_run: Any) -> None:
    alone = toy_run.spec
    put_beside(toy_run, 1.0, None)
    assert toy_run.spec.workload_id != alone.workload_id
    assert workload_id(alone.benchmark_sha256, "nano", "closed", alone.settings) == alone.workload_id
    assert (track_of(alone), track_of(toy_run.spec)) == (None, "beside toy nano")
    toy_run.spec = toy_run.spec.model_copy(update={"workload_id": alone.workload_id})
    assert "R009" in findings_of(toy_run)


def test_what_is_beside_a_run_is_named_whole_or_not_at_all() -> None:
    with pytest.raises(ValueError, match="together or not at all"):
        Colocation(experiment_id="a", pair=1, beside_run_id="b")


def metric(name: str, value: float | None, *, beside: bool, count: int | None = None) -> Metric:
    return Metric(
        name=name,
        dims=OVERLAP if beside else {},
        value=value,
        unit="1",
        status="not_measured" if value is None else "measured",
        reason="no meter" if value is None else None,
        formula="test/1",
        scope="device" if "energy" in name else "run",
        sample_count=count,
    )


def pair(number: int, *, train: float | None, serve: float, p99: float = 2.0, joint_j: float = 90.0) -> list[Part]:
    """Alone 100 tokens/s at 0.5 J each, and 8 requests in 40 J at 10/s and 0.5 s; together as given, by ratio."""
    runs = {
        (True, False): [
            metric("train_tokens_per_s", 100.0, beside=False),
            metric("energy_per_token_j", 0.5, beside=False),
        ],
        (False, False): [
            metric("requests_per_s", 10.0, beside=False, count=8),
            metric("latency_s_p99", 0.5, beside=False),
            metric("energy_j", 40.0, beside=False),
        ],
        (True, True): [
            metric("train_tokens_per_s", None if train is None else 100.0 * train, beside=True),
            metric("energy_j", joint_j, beside=True),
            metric("energy_per_token_j", joint_j / 100, beside=True, count=100),
        ],
        (False, True): [
            metric("requests_per_s", 10.0 * serve, beside=True, count=10),
            metric("latency_s_p99", 0.5 * p99, beside=True),
        ],
    }
    return [
        Part(pair=number, trains=trains, beside=beside, run_id=f"{number}", outcome="ok", metrics=metrics)
        for (trains, beside), metrics in runs.items()
    ]


def test_figures_over_pairs_are_geometric_means_with_t_intervals() -> None:
    ratios = (0.5, 0.6, 0.72)
    parts = [part for number, ratio in enumerate(ratios, 1) for part in pair(number, train=ratio, serve=0.8)]
    train, serve, latency, energy = colocation_of(parts).figures
    assert train.value == pytest.approx(0.4)
    reach = 4.302652729911275 * math.log(1.2) / math.sqrt(3)  # logs lie log 1.2 apart; t at 2 degrees of freedom
    assert (train.low, train.high) == (
        pytest.approx(1 - 0.6 * math.exp(reach)),
        pytest.approx(1 - 0.6 * math.exp(-reach)),
    )
    assert (serve.value, latency.value) == (pytest.approx(0.2), pytest.approx(2.0))
    # The same 100 tokens and 10 requests one after the other: 100 x 0.5 J + 10 x 40 / 8 J.
    assert (energy.value, energy.scope, energy.count) == (pytest.approx(0.9), "device", 3)


def test_one_pair_has_values_and_no_interval() -> None:
    train, *_ = colocation_of(pair(1, train=0.5, serve=0.8)).figures
    assert (train.value, train.low, train.reason) == (pytest.approx(0.5), None, "one pair has no interval")


def test_a_pair_that_lacks_a_value_takes_the_figure_away_and_is_named() -> None:
    parts = [*pair(1, train=0.5, serve=0.8), *pair(2, train=None, serve=0.8)]
    result = colocation_of(parts)
    train, serve, *_ = result.figures
    assert (train.value, train.count) == (None, 1)
    assert train.reason == "pair 2: training together (ok): no meter"
    assert serve.value == pytest.approx(0.2)
    assert [each.figures[0].value for each in result.pairs] == [pytest.approx(0.5), None]


def test_a_reason_of_several_pairs_is_told_once() -> None:
    lacking = [part for number in (1, 3) for part in pair(number, train=None, serve=0.8)]
    train, *_ = colocation_of([*lacking, *pair(2, train=0.5, serve=0.8)[:1]]).figures
    said = "pairs 1, 3: training together (ok): no meter; pair 2: training together was not run"
    assert train.reason == said


def test_a_run_that_was_never_made_is_named() -> None:
    train, *_ = colocation_of(pair(1, train=0.5, serve=0.8)[:1]).figures
    assert train.reason == "pair 1: training together was not run"


def test_energies_of_different_scopes_are_not_compared() -> None:
    parts = pair(1, train=0.5, serve=0.8)
    wall = [each.model_copy(update={"scope": "wall"}) for each in parts[1].metrics]
    parts[1] = Part(**{**parts[1].__dict__, "metrics": wall})
    assert "different scopes (device, wall)" in str(colocation_of(parts).figures[3].reason)
