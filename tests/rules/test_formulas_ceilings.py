"""Ceilings from times that were worked out by hand, and a calibration before the judge."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from typing import Any

import pytest

from oildrop.rules import keys
from oildrop.rules.catalogue import metrics_of
from oildrop.rules.formulas.ceilings import fastest_rate, moved_bytes, product_flop, spread_fraction
from oildrop.rules.identity import rulebook_seed, workload_id
from oildrop.rules.judge import judge
from oildrop.rules.loading import parse_rulebook
from oildrop.rules.records import Judgement, Metric
from oildrop.rules.rulebook import settings_of

RULE = "R090"
"""Repeats of a ceiling agree."""


def test_a_product_multiplies_and_adds_once_for_each_of_n_cubed() -> None:
    left = [[1, 2], [3, 4]]
    multiplications = sum(1 for _ in left for _ in range(2) for _ in range(2))
    assert product_flop(2, 3) == 3 * 2 * multiplications


def test_a_copy_moves_each_byte_twice_and_a_read_once() -> None:
    assert [moved_bytes(what, 100, 3) for what in ("read", "copy", "host_to_device")] == [300, 600, 300]


def test_the_fastest_repeat_counts_and_the_slowest_makes_the_spread() -> None:
    assert fastest_rate(12.0, [4.0, 3.0, 6.0]) == 4.0
    assert spread_fraction([4.0, 3.0, 6.0]) == pytest.approx(1 - 2.0 / 4.0)  # rates 4 and 2
    for nothing in ([], [0.0, 1.0]):
        with pytest.raises(ValueError, match="no repeat"):
            fastest_rate(1.0, nothing)


CEILINGS: list[tuple[str, dict[str, Any]]] = [
    ("matmul", {"dtype": "fp32", "width": 100, "count": 5, "repeats_s": [0.0125, 0.01]}),
    ("matmul", {"dtype": "bf16", "width": 100, "count": 5, "repeats_s": [0.0025, 0.0025]}),
    ("matmul", {"dtype": "tf32", "reason": "a format of others", "applicable": False}),
    ("read", {"bytes": 1000, "count": 4, "repeats_s": [1e-6, 1.1e-6]}),
    ("copy", {"bytes": 1000, "count": 4, "repeats_s": [4e-6]}),
    ("host_to_device", {"reason": "the child died"}),
]


@pytest.fixture
def calibrated(make_run: Callable[[], Any]) -> Any:
    """The toy run with the shipped benchmark's calibration in place of its training."""
    folder = resources.files("oildrop.rules.v1")
    names = ("rules.toml", "divisions.toml", "devices.toml", "scenarios.toml", "calibrate.toml")
    run = make_run()
    run.rulebook = parse_rulebook({name: folder.joinpath(name).read_bytes() for name in names})
    benchmark = run.rulebook.benchmarks["calibrate"]
    settings = settings_of(benchmark.tiers["nano"])
    run.spec = run.spec.model_copy(
        update={
            "benchmark": "calibrate",
            "benchmark_sha256": benchmark.sha256,
            "kind": "calibrate",
            "settings": settings,
            "seed": rulebook_seed(benchmark.sha256, 0),
            "workload_id": workload_id(benchmark.sha256, "nano", "closed", settings),
        }
    )
    run.evaluations = {}
    trained = (
        keys.BLOCK_START,
        keys.BLOCK_STOP,
        keys.BATCH_SHA256,
        keys.EVAL_START,
        keys.EVAL_STOP,
        keys.EVAL_ACCURACY,
    )
    for key in (*trained, keys.WEIGHTS_SHA256):
        run.drop(key)
    run.find(keys.SEED)["value"] = run.spec.seed
    at = next(index for index, row in enumerate(run.rows) if row["key"] == keys.RUN_START) + 1
    tail, run.rows = run.rows[at:], run.rows[:at]
    for what, meta in CEILINGS:
        run.add(keys.CEILING, 1.1, what, **meta)
    run.rows += [row for row in tail if row["key"] != keys.PHASE]
    return run


def judged(run: Any) -> Judgement:
    return judge(run.evidence(), run.rulebook)


def value(run: Any, name: str, **dims: str) -> Metric:
    return next(each for each in judged(run).metrics if (each.name, each.dims) == (name, dims))


def test_a_calibration_is_ok_and_lists_every_metric_of_its_kind(calibrated: Any) -> None:
    found = judged(calibrated)
    assert (found.outcome, found.reason, found.findings) == ("ok", None, ())
    assert {metric.name for metric in found.metrics if not metric.dims} == set(metrics_of("calibrate"))


def test_ceilings_follow_from_the_logged_times(calibrated: Any) -> None:
    assert value(calibrated, "matmul_flop_per_s").value == pytest.approx(5 * 2 * 100**3 / 0.01)
    assert value(calibrated, "matmul_flop_per_s", dtype="bf16").value == pytest.approx(5 * 2 * 100**3 / 0.0025)
    assert value(calibrated, "read_bandwidth_bytes_per_s").value == pytest.approx(4e9)
    assert value(calibrated, "copy_bandwidth_bytes_per_s").value == pytest.approx(2e9)
    assert value(calibrated, "repeat_spread_fraction").value == pytest.approx(0.2)
    of_reads = value(calibrated, "repeat_spread_fraction", of="read_bandwidth_bytes_per_s")
    assert of_reads.value == pytest.approx(1 - 1 / 1.1)


def test_what_is_missing_says_whether_it_could_have_been_there(calibrated: Any) -> None:
    absent, failed = (
        value(calibrated, "matmul_flop_per_s", dtype="tf32"),
        value(calibrated, "host_to_device_bytes_per_s"),
    )
    assert (absent.value, absent.status, absent.reason) == (None, "not_applicable", "a format of others")
    assert (failed.value, failed.status, failed.reason) == (None, "not_measured", "the child died")


@pytest.mark.parametrize("change", [{"repeats_s": []}, {"repeats_s": ["soon"]}, {"width": None}, {"count": "many"}])
def test_a_log_that_does_not_say_how_long_gives_no_ceiling(calibrated: Any, change: dict[str, Any]) -> None:
    calibrated.find(keys.CEILING)["meta"].update(change)
    assert value(calibrated, "matmul_flop_per_s").status == "not_measured"


def test_one_that_ended_before_everything_was_measured_did_not_end_by_itself(calibrated: Any) -> None:
    calibrated.rows.remove(calibrated.find(keys.CEILING, 4))
    assert judged(calibrated).outcome == "crash"


def test_repeats_that_differ_widely_are_flagged(calibrated: Any) -> None:
    calibrated.find(keys.CEILING)["meta"]["repeats_s"] = [0.02, 0.01]
    found = judged(calibrated)
    assert [(finding.rule, finding.severity) for finding in found.findings] == [(RULE, "flag")]
    assert found.outcome == "ok"
