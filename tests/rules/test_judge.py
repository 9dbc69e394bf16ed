"""Metrics and outcomes of runs whose numbers were worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from oildrop.rules import keys
from oildrop.rules.catalogue import metrics_of
from oildrop.rules.digest import digest_of
from oildrop.rules.evidence import Series
from oildrop.rules.judge import judge

SECOND = 1_000_000_000


def judged(run: Any) -> Any:
    return judge(run.evidence(), run.rulebook)


def test_metrics_of_a_run_worked_out_by_hand(toy_run: Any) -> None:
    # Clock from 1.0 s; blocks of 2, 1, 1 s; evaluations of 0.1 s end at 3.1, 4.2, 5.3 s with quality 0.8, 0.6, 0.4.
    expected = {
        "time_to_target_s": 3.75,  # half-way between 3.2 s and 4.3 s after run_start
        "time_to_target_raw_s": 4.3,
        "samples_to_target": 35.0,
        "train_tokens_per_s": 100.0,
        "train_samples_per_s": 10.0,
        "final_quality": 0.4,
        "final_accuracy": 11 / 20,
        "eval_fraction": 0.3 / 4.3,
        "setup_s": 1.0,
        "compile_s": 0.2,
        "memory_peak_bytes": 12345,
        "harness_overhead_fraction": (8 * 1e-6 + 0.043) / 4.3,
    }
    judgement = judged(toy_run)
    assert judgement.outcome == "ok"
    for name, value in expected.items():
        assert judgement.headline(name).value == pytest.approx(value), name


def test_every_metric_of_the_kind_is_listed_once_with_value_or_reason(toy_run: Any) -> None:
    metrics = judged(toy_run).metrics
    assert tuple(metric.name for metric in metrics) == metrics_of("to_target")
    for metric in metrics:
        assert (metric.value is None) == (metric.status in ("not_measured", "not_applicable"))
        assert metric.value is not None or metric.reason
    assert judged(toy_run).headline("energy_j").value is None


def test_energy_of_a_constant_power(toy_run: Any) -> None:
    times = tuple(range(0, 7 * SECOND, SECOND // 4))
    toy_run.series = (
        Series(meter="nvidia", quantity="power_w", device="d", scope="device", t_ns=times, values=(50.0,) * len(times)),
        Series(meter="rapl", quantity="power_w", device="p", scope="package", t_ns=times, values=(9.0,) * len(times)),
    )
    judgement = judged(toy_run)
    assert judgement.headline("energy_j").value == pytest.approx(50 * 4.3)
    assert judgement.headline("energy_j").scope == "device"
    assert judgement.headline("power_w").value == pytest.approx(50)
    assert judgement.headline("energy_per_token_j").value == pytest.approx(50 * 4.3 / 400)
    assert judgement.headline("energy_to_target_j").value == pytest.approx(50 * 4.3)


def test_one_silent_device_leaves_no_energy_rather_than_less(toy_run: Any) -> None:
    times = tuple(range(0, 7 * SECOND, SECOND // 4))
    toy_run.series = (
        Series(meter="nvidia", quantity="power_w", device="a", scope="device", t_ns=times, values=(50.0,) * len(times)),
        Series(meter="nvidia", quantity="power_w", device="b", scope="device", t_ns=times[:2], values=(50.0, 50.0)),
    )
    metric = judged(toy_run).headline("energy_j")
    assert metric.value is None
    assert "b: the last sample came" in metric.reason


def test_busy_fraction_of_the_processor(toy_run: Any) -> None:
    toy_run.series = (
        Series(
            meter="process", quantity="cpu_s", device="worker", scope="process",
            t_ns=(0, 2 * SECOND, 4 * SECOND, 6 * SECOND), values=(0.0, 1.0, 4.0, 5.0),
        ),
    )  # fmt: skip
    metric = judged(toy_run).headline("busy_fraction")
    assert metric.value == pytest.approx(3.0 / (2.0 * 2))
    assert metric.window_ns == (2 * SECOND, 4 * SECOND)


def test_a_count_of_processor_time_that_did_not_move_is_no_idle_worker(toy_run: Any) -> None:
    toy_run.series = (
        Series(
            meter="process", quantity="cpu_s", device="worker", scope="process",
            t_ns=(2 * SECOND, 4 * SECOND), values=(1.0, 1.0),
        ),
    )  # fmt: skip
    metric = judged(toy_run).headline("busy_fraction")
    assert metric.value is None and "did not move in 2 s of samples" in str(metric.reason)


def without_end(run: Any) -> None:
    run.drop(keys.RUN_STOP)


def nothing(run: Any) -> None:
    """As it is."""


def supervisor_died(run: Any) -> None:
    run.drop(keys.OUTCOME)


def still_alive(run: Any) -> None:
    run.drop(keys.OUTCOME)
    run.alive = True


def missed(run: Any) -> None:
    for index, samples in enumerate(run.QUALITIES):
        run.find(keys.EVAL_ACCURACY, index)["value"] = 0.9
        run.evaluations[samples] = run.table(samples, 0.9)
    settings = {**run.spec.settings, "limit.cap_samples": 42}
    run.spec = run.spec.model_copy(update={"settings": settings, "division": "open"})
    from oildrop.rules.identity import workload_id

    identity = workload_id(run.spec.benchmark_sha256, "nano", "open", settings)
    run.spec = run.spec.model_copy(update={"workload_id": identity})
    run.find(keys.OUTCOME)["value"] = "target_missed"


def loss_not_finite(run: Any) -> None:
    run.find(keys.BLOCK_STOP, 2)["meta"]["loss"] = "nan"
    run.find(keys.OUTCOME)["value"] = "diverged"


def limit_passed(limit: str) -> Callable[[Any], None]:
    def passed(run: Any) -> None:
        without_end(run)
        run.find(keys.OUTCOME).update(value="timeout")
        run.find(keys.OUTCOME)["meta"].update(limit=limit, reason="too much")

    return passed


def claims(value: str, **meta: Any) -> Callable[[Any], None]:
    def claim(run: Any) -> None:
        without_end(run)
        run.find(keys.OUTCOME).update(value=value)
        run.find(keys.OUTCOME)["meta"].update(meta)

    return claim


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        (nothing, "ok"),
        (missed, "target_missed"),
        (loss_not_finite, "diverged"),
        (supervisor_died, "lost"),
        (still_alive, "started"),
        (limit_passed("deadline"), "timeout"),
        (limit_passed("heartbeat"), "timeout"),
        (limit_passed("stall"), "timeout"),
        (limit_passed("memory"), "oom"),
        (claims("oom", reason="CUDA out of memory"), "oom"),
        (claims("crash", reason="ValueError: x"), "crash"),
        (claims("unsupported", reason="no device"), "unsupported"),
        (claims("cancelled", cancelled_by="SIGINT"), "cancelled"),
        (claims("ok"), "crash"),
        (claims("best ever"), "crash"),
    ],
)
def test_outcomes_follow_from_evidence(toy_run: Any, change: Callable[[Any], None], outcome: str) -> None:
    change(toy_run)
    judgement = judged(toy_run)
    assert judgement.outcome == outcome
    if outcome != "ok":
        assert judgement.headline("time_to_target_s").value is None


def test_an_invalid_run_has_no_time(toy_run: Any) -> None:
    toy_run.find(keys.GATE)["meta"]["passed"] = False
    judgement = judged(toy_run)
    assert judgement.outcome == "invalid"
    assert judgement.reason.startswith("R004: gate loss in fp32")
    assert judgement.headline("time_to_target_s").value is None
    assert judgement.headline("train_tokens_per_s").value == pytest.approx(100.0)


def test_the_judge_is_a_pure_function(toy_run: Any) -> None:
    assert judged(toy_run) == judged(toy_run)


def test_digest_holds_what_the_page_draws(toy_run: Any) -> None:
    digest = digest_of(toy_run.evidence(), toy_run.rulebook)
    assert [(point.samples, point.quality) for point in digest.curve] == [(20, 0.8), (30, 0.6), (40, 0.4)]
    assert [point.time_s for point in digest.curve] == pytest.approx([2.1, 3.2, 4.3])
    assert [phase.name for phase in digest.phases][:4] == ["compile", "gates", "train", "eval"]
    assert digest.target == 0.5


def test_long_traces_are_thinned_to_bin_means(toy_run: Any) -> None:
    count = 2400
    toy_run.series = (
        Series(
            meter="m", quantity="power_w", device="d", scope="device",
            t_ns=tuple(range(count)), values=tuple(float(i) for i in range(count)),
        ),
    )  # fmt: skip
    (trace,) = digest_of(toy_run.evidence(), toy_run.rulebook).traces
    assert len(trace.values) == 240
    assert trace.values[0] == pytest.approx(4.5)
    assert trace.values[-1] == pytest.approx(2394.5)
