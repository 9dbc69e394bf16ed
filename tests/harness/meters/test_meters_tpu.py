"""The TPU meter on lines as its child prints them; no TPU is needed."""

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from oildrop.harness.meters import tpu
from oildrop.harness.meters.interface import MeterError
from oildrop.harness.meters.isolation import Answer
from oildrop.harness.meters.lines import Lines
from oildrop.harness.meters.tpu import METRICS, TpuMeter, ask, driver_present, open_tpu, parse

LINE = json.dumps(
    {
        "duty_cycle_pct": ["12.50", "0.00"],
        "tensorcore_util": ["40.00", "0.00"],
        "hbm_util": ["20.00", "n/a"],
        "hbm_capacity_usage": ["1073741824", "0"],
    }
)


def replayed(*texts: str) -> Lines:
    rest: list[bytes | None] = []
    for text in texts:
        rest += [text.encode(), None]

    def read(count: int) -> bytes:
        piece = rest.pop(0) if rest else b""
        if piece is None:
            raise BlockingIOError
        return piece

    return Lines(read, lambda: None, "libtpu's monitoring")


def test_a_line_in_si_units() -> None:
    assert {(r.quantity, r.device): r.value for r in parse(LINE)} == {
        ("busy_fraction", "tpu-chip-0"): 0.125,
        ("busy_fraction", "tpu-chip-1"): 0.0,
        ("tensor_active_fraction", "tpu-core-0"): 0.4,
        ("tensor_active_fraction", "tpu-core-1"): 0.0,
        ("dram_bandwidth_fraction", "tpu-chip-0"): 0.2,
        ("memory_used_bytes", "tpu-chip-0"): 2**30,
        ("memory_used_bytes", "tpu-chip-1"): 0.0,
    }


@pytest.mark.parametrize("line", ["", "not json", "[1]", "{}", '{"duty_cycle_pct": []}', '{"duty_cycle_pct": null}'])
def test_a_line_that_says_nothing(line: str) -> None:
    assert parse(line) == ()


def test_the_meter_has_no_energy_and_ends_with_its_child() -> None:
    meter = TpuMeter(replayed("{}\n", LINE + "\n"))
    assert meter.sample() == ()
    assert len(meter.sample()) == 7
    with pytest.raises(MeterError, match="has ended"):
        meter.sample()
    assert not meter.measures_energy and "no energy interface" in (meter.info().method or "")


def test_the_reason_for_no_energy_is_always_told() -> None:
    def opened(answer: Answer) -> str:
        (meter,) = open_tpu(lambda: answer, lambda: replayed(LINE))
        return meter.info().reason or meter.info().status

    assert opened(Answer(value={"metrics": list(METRICS)})) == "measured"
    for answer, words in (
        (Answer(reason="no answer within 5 s"), "no answer within 5 s"),
        (Answer(value={"error": "libtpu cannot be loaded"}), "cannot be loaded"),
        (Answer(value={"metrics": ["tcp_min_rtt"]}), "offers no utilization"),
    ):
        assert "no energy interface" in opened(answer) and words in opened(answer)


def test_a_child_that_cannot_start_is_the_reason() -> None:
    def start() -> Lines:
        raise MeterError("it cannot be started")

    (meter,) = open_tpu(lambda: Answer(value={"metrics": list(METRICS)}), start)
    assert "it cannot be started" in (meter.info().reason or "")


def test_the_library_is_asked_for_what_it_offers() -> None:
    def get_metric(name: str) -> SimpleNamespace:
        if name == "hbm_util":
            raise RuntimeError("no runtime")
        return SimpleNamespace(data=lambda: [12.5, 0])

    monitoring = SimpleNamespace(
        list_supported_metrics=lambda: ["duty_cycle_pct", "hbm_util", "other"], get_metric=get_metric
    )
    assert ask(monitoring) == {"duty_cycle_pct": ["12.5", "0"]}


def test_traces_of_a_chip(tmp_path: Path) -> None:
    assert not driver_present(tmp_path)
    (tmp_path / "dev/vfio").mkdir(parents=True)
    (tmp_path / "dev/vfio/vfio").touch()
    assert not driver_present(tmp_path)
    (tmp_path / "dev/vfio/0").touch()
    assert driver_present(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed here")
def test_the_real_library_offers_every_metric_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TPU_SKIP_MDS_QUERY", "1")
    answer = tpu.describe_in_child(limit_s=60)
    assert answer.reason is None and set(METRICS) <= set(answer.value["metrics"])
