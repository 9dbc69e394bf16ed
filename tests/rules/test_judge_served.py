"""Metrics and outcome of served runs, worked out by hand from the toy's table of requests."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from oildrop.rules import keys
from oildrop.rules.catalogue import metrics_of
from oildrop.rules.evidence import Series
from oildrop.rules.judge import judge
from oildrop.rules.records import Judgement, Metric
from oildrop.rules.system import Declared

SECOND = 1_000_000_000
MS = 1_000_000


def judged(run: Any) -> Judgement:
    return judge(run.evidence(), run.rulebook)


def values(run: Any) -> dict[str, Any]:
    return {metric.name: metric.value for metric in judged(run).metrics if not metric.dims}


def with_dims(run: Any, name: str) -> dict[str, Metric]:
    return {next(iter(m.dims.values())): m for m in judged(run).metrics if m.name == name and m.dims}


def test_latencies_count_from_the_scheduled_time(served_run: Any) -> None:
    """First tokens after 20 ... 29 ms, ten requests each; the last one 8 ms later."""
    found = values(served_run)
    assert found["ttft_s"] == pytest.approx(0.0245)
    assert [found[f"ttft_s_{p}"] for p in ("p50", "p90", "p99")] == pytest.approx([0.025, 0.029, 0.029])
    assert found["latency_s"] == pytest.approx(0.0325)
    assert [found[f"latency_s_{p}"] for p in ("p50", "p90", "p99")] == pytest.approx([0.033, 0.037, 0.037])
    for name in ("tpot_s", "itl_s"):
        assert [found[name + p] for p in ("", "_p50", "_p90", "_p99")] == pytest.approx([0.002] * 4)
    assert found["dispatch_lateness_s_p99"] == pytest.approx(1e-4)


def test_rates_are_over_the_time_to_the_last_answer(served_run: Any) -> None:
    """One at a time: the 100 latencies add up to 3.25 s."""
    found = values(served_run)
    assert found["requests_per_s"] == pytest.approx(100 / 3.25)
    assert found["output_tokens_per_s"] == found["output_tokens_per_s_per_device"] == pytest.approx(500 / 3.25)
    assert found["output_tokens_per_s_per_user"] == pytest.approx(500)
    assert found["decode_tokens_per_s"] == pytest.approx(4 / 0.008)
    assert found["prefill_tokens_per_s"] == pytest.approx(8 / 0.0249)  # issued 0.1 ms late; the median is of 25 ms
    assert found["error_fraction"] == 0
    assert found["offered_rate_per_s"] is None and found["goodput_per_s"] is None


def test_quality_is_of_the_assessed_answers(served_run: Any) -> None:
    found = values(served_run)
    assert found["final_quality"] == pytest.approx(0.2) and found["greedy_agreement"] == 1.0


def test_an_estimate_stands_beside_the_percentile(served_run: Any) -> None:
    """Of 100 values three may be over at p90 (P(X <= 3) = 0.8 %, P(X <= 4) = 2.4 %): the third from the top."""
    served_run.requests["last_ns"][99] += 100 * MS
    served_run.requests["last_ns"][98] += 50 * MS
    served_run.requests["last_ns"][97] += 20 * MS
    estimate = with_dims(served_run, "latency_s_p90")["early_stopping"]
    assert estimate.value == pytest.approx(0.027 + 0.008 + 0.020) and estimate.formula == "early_stopping/1"


def test_too_few_queries_have_no_estimate(make_served: Any) -> None:
    estimate = with_dims(make_served("multi-stream"), "latency_s_p90")["early_stopping"]
    assert estimate.value is None and estimate.reason == (
        "50 queries were served; an estimate at confidence 0.99 needs 64"
    )


def test_a_query_of_several_takes_as_long_as_its_slowest(make_served: Any) -> None:
    """Pairs of 20 and 21, 22 and 23, ... 28 and 29 ms to the first token, and 8 ms more."""
    found = values(make_served("multi-stream"))
    assert found["latency_s"] == pytest.approx((21 + 23 + 25 + 27 + 29) / 5e3 + 0.008)
    assert found["ttft_s"] == pytest.approx(0.0245)
    assert found["requests_per_s"] == pytest.approx(100 / (50 * 0.033))


def test_goodput_is_what_came_within_the_bounds(make_served: Any) -> None:
    """Of ten requests in a row seven are within 35 ms in all (20 ... 26 + 8 would be 34); one is too slow a token."""
    run = make_served("server", 20.0)
    run.requests["last_ns"][0] += 40 * MS
    run.requests["gaps_ns"][0] = (2 * MS, 2 * MS, 2 * MS, 42 * MS)
    wall_s = max(run.requests["last_ns"]) / SECOND
    bounds = with_dims(run, "goodput_per_s")
    assert values(run)["goodput_per_s"] == bounds["server"].value == pytest.approx(99 / wall_s)
    assert bounds["interactive"].value == pytest.approx(79 / wall_s)
    assert values(run)["offered_rate_per_s"] == 20.0


def test_every_metric_of_the_kind_is_listed_once_and_training_metrics_are_not(served_run: Any) -> None:
    metrics = judged(served_run).metrics
    assert tuple(metric.name for metric in metrics if not metric.dims) == metrics_of("serve")
    assert len({(m.name, tuple(m.dims.items()), m.formula) for m in metrics}) == len(metrics)
    assert not {"train_tokens_per_s", "time_to_target_s", "eval_fraction"} & {metric.name for metric in metrics}


def test_a_run_without_a_table_lists_every_metric_with_its_reason(served_run: Any) -> None:
    from dataclasses import replace

    evidence = replace(served_run.evidence(), requests=None, answers=None)
    judgement = judge(evidence, served_run.rulebook)
    assert judgement.outcome == "crash"
    assert judgement.headline("latency_s_p90").reason == "the run left no table of its requests"
    assert tuple(metric.name for metric in judgement.metrics if not metric.dims) == metrics_of("serve")


def test_failed_requests_count_as_the_worst(served_run: Any) -> None:
    """Ten of a hundred fail: the p50 holds, the p90 is the first of the failed ones, the mean would hide them."""
    for row in range(40, 50):
        served_run.fail(row, "http_500" if row % 2 else "cut")
    judgement = judged(served_run)
    assert judgement.outcome == "ok"
    assert judgement.reason == "10 of 100 requests failed: 5 cut, 5 http_500"
    assert judgement.headline("error_fraction").value == 0.1
    for name in ("latency_s_p50", "ttft_s_p50", "tpot_s_p50", "itl_s_p50"):
        assert judgement.headline(name).value is not None
    for name in ("latency_s_p90", "ttft_s_p90", "tpot_s_p90", "itl_s_p90", "latency_s"):
        assert "10 of 100 requests failed" in str(judgement.headline(name).reason), name
    assert judgement.headline("requests_per_s").value == pytest.approx(90 / 3.25)


def test_rates_count_the_time_for_which_failed_requests_were_waited(served_run: Any) -> None:
    """Fifty answers in the first half of the run, then silence until run_stop after 3.25 s."""
    for row in range(50, 100):
        served_run.fail(row, "timeout")
    found = values(served_run)
    assert found["requests_per_s"] == pytest.approx(50 / 3.25)
    assert found["output_tokens_per_s"] == pytest.approx(250 / 3.25)


def test_a_median_rate_is_that_of_the_median_time(served_run: Any) -> None:
    """Of 2 ms and 4 ms a token, fifty requests each, p50 is the 4 ms; a request that failed is slower than any."""
    for row in range(50, 100):
        served_run.requests["last_ns"][row] += 8 * MS
        served_run.requests["gaps_ns"][row] = (4 * MS,) * 4
    found = values(served_run)
    assert found["tpot_s_p50"] == pytest.approx(0.004)
    assert found["output_tokens_per_s_per_user"] == found["decode_tokens_per_s"] == pytest.approx(250)
    for row in range(50, 100):
        served_run.fail(row, "timeout")
    found = values(served_run)
    for name in ("tpot_s_p50", "output_tokens_per_s_per_user", "decode_tokens_per_s", "prefill_tokens_per_s"):
        assert found[name] is None, name


def test_nothing_answered_is_a_crash(served_run: Any) -> None:
    for row in range(served_run.COUNT):
        served_run.fail(row, "http_401")
    judgement = judged(served_run)
    assert judgement.outcome == "crash"
    assert judgement.reason == "no request was answered; 100 of 100 requests failed: 100 http_401"


def test_answers_that_come_whole_have_a_latency_alone(served_run: Any) -> None:
    count = served_run.COUNT
    served_run.requests |= {
        "expected_tokens": [1] * count, "output_tokens": [1] * count, "gaps_ns": [()] * count,
        "tokens": [(3,)] * count, "first_ns": served_run.requests["last_ns"],
    }  # fmt: skip
    served_run.answers |= {"agreed_count": [1] * 4, "compared_count": [1] * 4}
    judgement = judged(served_run)
    assert judgement.outcome == "ok" and judgement.findings == ()
    assert judgement.headline("latency_s_p90").value == pytest.approx(0.037)
    names = ("ttft_s", "tpot_s_p99", "itl_s", "decode_tokens_per_s", "output_tokens_per_s")
    assert {judgement.headline(name).status for name in names} == {"not_applicable"}


def test_bounds_decide_at_the_percentile(make_served: Any) -> None:
    """At p90 of 100 queries three may be late (the early-stopping bound), four may not."""
    run = make_served("server", 20.0)
    for row in range(3):
        run.requests["first_ns"][row] = run.requests["scheduled_ns"][row] + 101 * MS
        run.requests["last_ns"][row] = run.requests["first_ns"][row] + 8 * MS
    assert judged(run).outcome == "ok"
    run.requests["first_ns"][3] = run.requests["scheduled_ns"][3] + 101 * MS
    run.requests["last_ns"][3] = run.requests["first_ns"][3] + 8 * MS
    run.find(keys.OUTCOME)["value"] = "target_missed"
    judgement = judged(run)
    assert judgement.outcome == "target_missed" and judgement.findings == ()
    assert judgement.reason == (
        "96.00% of 100 were answered within 100 ms to the first token, 10 ms a token at 20 queries/s: with 4 over, "
        "90.0% is sure from 113 on"
    )


def test_a_tier_of_few_queries_is_held_to_the_share_itself(make_served: Any) -> None:
    """Scenario interactive asks for 10 queries, too few for confidence: 90 of 100 are enough for p90."""
    run = make_served("interactive", 20.0)
    judgement = judged(run)
    assert judgement.outcome == "target_missed"
    within = "within 35 ms for the whole answer at 20 queries/s"
    assert judgement.reason == f"80.00% of 100 were answered {within}; 90.0% must be"
    for row in range(9, run.COUNT, 10):  # 29 + 8 ms become 34
        run.requests["last_ns"][row] -= 3 * MS
        run.requests["gaps_ns"][row] = (2 * MS, 2 * MS, 1 * MS, 0)
    assert judged(run).outcome == "ok"


def test_a_failed_request_breaks_the_bounds(make_served: Any) -> None:
    run = make_served("server", 20.0)
    for row in range(41, 52):
        run.fail(row, "timeout")
    judgement = judged(run)
    assert judgement.outcome == "target_missed"
    assert str(judgement.reason).endswith("; 90.0% must be; 11 of 100 requests failed: 11 timeout")


def test_wrong_answers_fail_whatever_their_speed(served_run: Any) -> None:
    served_run.answers["loss_nats"] = [12.1] * 4  # (12.1 - 8) / 8 nats a token
    judgement = judged(served_run)
    assert judgement.outcome == "accuracy_fail"
    assert judgement.reason == "quality 0.5125 nats/token of the assessed answers is not within 0.5 nats/token"


def test_answers_from_elsewhere_do_not_agree_with_the_reference(served_run: Any) -> None:
    served_run.answers["agreed_count"] = [5, 5, 5, 2]
    judgement = judged(served_run)
    assert judgement.outcome == "accuracy_fail"
    assert judgement.reason == "85.00% of the compared answers agree with the reference; at least 90.00% must"


def test_nothing_is_asked_of_the_quality_of_random_weights(served_run: Any) -> None:
    settings = {**served_run.spec.settings, "weights.source": "random"}
    served_run.spec = served_run.spec.model_copy(update={"settings": settings, "division": "open"})
    served_run.answers["loss_nats"] = [99.0] * 4
    judgement = judged(served_run)
    assert judgement.headline("final_quality").status == "not_applicable"
    assert "accuracy_fail" not in (judgement.outcome, judgement.reason)


def test_a_run_given_up_by_its_generator_has_missed_its_bounds(make_served: Any) -> None:
    run = make_served("server", 20.0)
    run.find(keys.RUN_STOP)["meta"]["status"] = "aborted"
    for row in range(50, run.COUNT):
        run.fail(row, "unfinished")
    assert judged(run).outcome == "target_missed"


def test_the_end_from_outside_counts_where_the_run_shows_none_of_its_own(served_run: Any) -> None:
    served_run.find(keys.RUN_STOP)["meta"]["status"] = "aborted"
    served_run.find(keys.OUTCOME).update(value="timeout")
    served_run.find(keys.OUTCOME)["meta"]["limit"] = "deadline"
    assert judged(served_run).outcome == "timeout"


def test_a_run_that_ended_while_its_answers_were_assessed_shows_no_end_of_its_own(served_run: Any) -> None:
    served_run.find(keys.OUTCOME).update(value="oom")
    served_run.find(keys.OUTCOME)["meta"]["limit"] = "memory"
    for number in range(3):  # the requests are kept first
        served_run.add(keys.CHUNK, 3.4, f"000{number}.arrow", file=f"samples/000{number}.arrow", first_ns=0)
    evidence = replace(served_run.evidence(), answers=None)
    assert judge(evidence, served_run.rulebook).outcome == "oom"
    settings = {**served_run.spec.settings, "weights.source": "random"}
    spec = served_run.spec.model_copy(update={"settings": settings, "division": "open"})
    assert judge(replace(evidence, spec=spec), served_run.rulebook).outcome == "oom"


def energy(run: Any, watts: float) -> None:
    """A steady power from before run_start to after run_stop."""
    times = tuple(range(0, 6 * SECOND, SECOND // 4))
    run.series = (
        Series(meter="m", quantity="power_w", device="d", scope="device", t_ns=times, values=(watts,) * len(times)),
    )


def test_energy_a_token_is_split_by_the_time_of_each_phase(served_run: Any) -> None:
    """10 W for 3.25 s; decode takes 8 ms of each request, prefill 24.5 - 0.1 ms on the mean."""
    energy(served_run, 10.0)
    found, phases = values(served_run), with_dims(served_run, "energy_per_token_j")
    assert found["energy_j"] == pytest.approx(32.5) and found["power_w"] == pytest.approx(10.0)
    assert found["energy_per_token_j"] == pytest.approx(32.5 / 500)
    assert phases["prefill"].value == pytest.approx(10 * 0.0244 / 8)
    assert phases["decode"].value == pytest.approx(10 * 0.008 / 4)
    assert phases["decode"].status == "modelled"


def test_a_server_elsewhere_draws_no_energy_here(served_run: Any) -> None:
    energy(served_run, 10.0)
    meta = served_run.find(keys.SERVE)["meta"]
    meta["endpoint"] = "http://localhost:8000/v1"
    assert values(served_run)["energy_j"] == pytest.approx(32.5)
    meta["endpoint"] = "http://<host>:8000/v1"
    for name in ("energy_j", "power_w", "energy_per_token_j"):
        metric = judged(served_run).headline(name)
        assert (metric.value, metric.status) == (None, "not_measured")
        assert "another machine" in str(metric.reason)


def test_memory_and_busy_time_of_a_load_generator_are_not_the_servers(served_run: Any) -> None:
    assert judged(served_run).headline("memory_peak_bytes").value is not None
    served_run.spec = served_run.spec.model_copy(update={"backend": "endpoint"})
    served_run.find(keys.SERVE)["meta"]["endpoint"] = "http://<host>:8000/v1"
    memory, busy = (judged(served_run).headline(name) for name in ("memory_peak_bytes", "busy_fraction"))
    assert (memory.value, busy.value) == (None, None)
    assert "load generator" in str(memory.reason) and "another machine" in str(busy.reason)


@pytest.mark.parametrize(
    ("accelerators", "devices"), [((), None), (("H100",), 1), (("2 x H100 80GB",), 2), (("2 x H100", "8x MI300X"), 10)]
)
def test_devices_of_a_server_are_those_that_its_owner_names(
    served_run: Any, accelerators: tuple[str, ...], devices: int | None
) -> None:
    declared = Declared(endpoint_id="e", accelerators=accelerators)
    served_run.system = served_run.system.model_copy(update={"declared": declared})
    found = values(served_run)["output_tokens_per_s_per_device"]
    assert found == (None if devices is None else pytest.approx(500 / 3.25 / devices))


def test_what_two_unlike_devices_did_is_of_neither(served_run: Any) -> None:
    settings = {"execution.transfer": "tcp", "execution.prefill_backend": "jax-cpu"}
    served_run.spec = served_run.spec.model_copy(update={"settings": {**served_run.spec.settings, **settings}})
    assert values(served_run)["output_tokens_per_s_per_device"] is None
    reason = next(m.reason for m in judged(served_run).metrics if m.name == "mfu")
    assert "prompts were read by another" in str(reason)


def test_phases_that_overlap_have_no_energy_of_their_own(make_served: Any) -> None:
    run = make_served("offline")
    energy(run, 10.0)
    phases = with_dims(run, "energy_per_token_j")
    assert {metric.value for metric in phases.values()} == {None}
    assert phases["prefill"].reason == "the log does not say how long the engine read prompts and how long it decoded"


def test_bandwidth_is_bytes_read_over_the_time_between_tokens(served_run: Any) -> None:
    """Each of 4 steps in 8 ms reads 4 MB of weights and 1 kB a token of 9, 10, 11 and 12: of 10 GB/s 20 %."""
    moved = 4 * 4_000_000 + 1000 * (9 + 10 + 11 + 12)
    assert values(served_run)["mbu"] == pytest.approx(moved / 0.008 / 1e10)


@pytest.mark.parametrize(
    ("meta", "reason"),
    [
        ({"read_bandwidth_bytes_per_s": None}, "has not been measured"),
        ({"weight_bytes": None}, "does not say how many bytes"),
        ({"last_level_cache_bytes": 1_000_001}, "are under 4 times the last-level cache"),
        (
            {"read_bandwidth_bytes_per_s": None, "last_level_cache_bytes": 1_000_001},
            "are under 4 times the last-level cache",
        ),
    ],
)
def test_bandwidth_is_null_where_it_cannot_be_known(served_run: Any, meta: dict[str, Any], reason: str) -> None:
    served_run.find(keys.SERVE)["meta"].update(meta)
    metric = judged(served_run).headline("mbu")
    assert metric.value is None and reason in str(metric.reason)


def test_an_accelerators_weights_are_not_held_against_the_processors_cache(served_run: Any) -> None:
    served_run.spec = served_run.spec.model_copy(update={"backend": "torch-cuda"})
    meta = served_run.find(keys.SERVE)["meta"]
    meta.update(read_bandwidth_bytes_per_s=None, last_level_cache_bytes=10**9)
    assert judged(served_run).headline("mbu").reason == "the accelerator's read bandwidth has not been measured"


def test_model_flops_are_counted_position_by_position(served_run: Any) -> None:
    """2 layers of width 8, 2 heads of 4, one key-value head, hidden 16, a vocabulary of 3 + 2 + 2 + 10 + 3 = 20.

    A layer's matrices: query and output 8 x 8 each, key and value 8 x 4 each, three of 8 x 16. The positions 1 ... 12
    see 1 ... 12 positions; logits come from positions 8 ... 12.
    """
    layer = 2 * 8 * 8 + 2 * 8 * 4 + 3 * 8 * 16
    flops = 0
    for position in range(1, 13):
        for _ in range(2):
            flops += 2 * layer + 2 * 2 * 8 * position  # scores, and values summed
        if position >= 8:
            flops += 2 * 8 * 20
    assert values(served_run)["model_flop_per_s"] == pytest.approx(100 * flops / 3.25)


def test_a_probe_is_judged_as_a_served_run(make_served: Any) -> None:
    run = make_served("server", 20.0)
    run.spec = run.spec.model_copy(update={"kind": "probe"})
    judgement = judged(run)
    assert judgement.outcome == "ok" and judgement.headline("requests_per_s").value is not None
    assert not any(math.isinf(metric.value) for metric in judgement.metrics if metric.value is not None)


def test_each_numeric_format_has_its_own_least_agreement(served_run: Any) -> None:
    """The toy states one for fp32; of weights in int8 it asks for none."""
    served_run.answers["agreed_count"] = [5, 5, 5, 2]
    settings = {**served_run.spec.settings, "execution.weights": "int8"}
    served_run.spec = served_run.spec.model_copy(update={"settings": settings, "division": "open"})
    judgement = judged(served_run)
    assert judgement.headline("greedy_agreement").value == 0.85
    assert not str(judgement.reason).startswith("85.00%")


def ended_outside(run: Any, t_s: float) -> None:
    """The run was cancelled at `t_s`, before it had stopped by itself."""
    for key in (keys.RUN_STOP, keys.SERVED):
        run.drop(key)
    run.find(keys.OUTCOME).update(value="cancelled", t_ns=round(t_s * SECOND))
    run.find(keys.OUTCOME)["meta"]["cancelled_by"] = "SIGINT"


def test_a_run_that_was_ended_while_it_served_shows_what_was_kept(served_run: Any) -> None:
    """Chunks until 4 s after run_start, in which 98 answers came and two did not: 98 requests in 4 s."""
    ended_outside(served_run, 9.0)
    served_run.add(keys.CHUNK, 4.5, "0000.arrow", first_ns=0, kept_ns=2 * SECOND)
    served_run.add(keys.CHUNK, 5.0, "0001.arrow", first_ns=0, kept_ns=4 * SECOND)
    for row in (98, 99):
        served_run.requests["outcome"][row] = "unfinished"
    judgement = judged(served_run)
    assert judgement.outcome == "cancelled"
    assert judgement.headline("requests_per_s").value == pytest.approx(98 / 4)
    assert judgement.headline("latency_s_p50").value is not None
    assert "2 unfinished" in str(judgement.headline("latency_s_p99").reason)
    rules = {finding.rule: finding for finding in judgement.findings}
    assert set(rules) == {"R042", "R050"}
    assert rules["R050"].message.endswith(
        "of the 100 requests that were kept until 4.0 s after run_start, 2 of them without a whole answer"
    )


def test_a_silence_after_the_last_answer_counts_where_heartbeats_show_it(served_run: Any) -> None:
    """Nothing was answered until 7 s after run_start; one more answer was, at 8 s, and is not kept."""
    ended_outside(served_run, 12.0)
    served_run.add(keys.CHUNK, 5.0, "0000.arrow", first_ns=0, kept_ns=4 * SECOND)
    served_run.requests["outcome"][99] = "unfinished"
    for t_s, answered in ((8.0, 90), (9.0, 91)):
        served_run.add(keys.HEARTBEAT, t_s, 5, answered=answered, failed=9)
    served_run.add(keys.HEARTBEAT, 10.0, 5, answered="many")
    assert judged(served_run).headline("requests_per_s").value == pytest.approx(99 / 7)
