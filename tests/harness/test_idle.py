"""Idle power around a run: sampled where a meter answers, and not a second is waited for where none does."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest

from oildrop.harness import idle
from oildrop.harness.meters import open_meters as opening
from oildrop.harness.meters.interface import MeterInfo, Reading
from oildrop.harness.meters.replay import ReplayMeter


class Writer:
    def __init__(self) -> None:
        self.rows: list[Any] = []

    def append_telemetry(self, rows: Any) -> None:
        self.rows += rows


class Spec:
    backend, kind, beside_run_id = "torch-cpu", "to_target", None


class Log:
    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def record(self, key: str, value: str) -> None:
        self.said.append((key, value))


class Metering:
    def __init__(self, *, answers: bool) -> None:
        self.measures_energy, self.written = answers, 0

    def write_out(self) -> None:
        self.written += 1


IDLE = [("phase", "idle")]


def answering() -> ReplayMeter:
    info = MeterInfo(name="probe", status="measured", scope="device", device="d")
    return ReplayMeter(info, ([Reading("power_w", "d", "device", 10.0)] for _ in itertools.count()))


def before(meters: list[Any], monkeypatch: pytest.MonkeyPatch, spec: Any = Spec, *, stopped: bool = False) -> Any:
    monkeypatch.setattr(idle, "open_energy_meters", lambda backend, salt: meters)
    writer, log = Writer(), Log()
    idle.IdleTime(spec, "salt", writer, log, start_ns=time.monotonic_ns()).before(lambda: stopped)  # type: ignore[arg-type]
    return writer.rows, log.said


def after(metering: Metering, spec: Any = Spec, *, stopped: bool = False) -> Any:
    log = Log()
    idle.IdleTime(spec, "salt", Writer(), log, start_ns=0).after(metering, lambda: stopped)  # type: ignore[arg-type]
    return log.said


class Probe(Spec):
    kind = "probe"


class Beside(Spec):
    beside_run_id = "20261122-000000-000000-bbbbbb"


def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "_wait", lambda *_: pytest.fail("it waited"))


def test_an_answering_meter_is_read_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "IDLE_S", 0.8)
    meter = answering()
    rows, said = before([meter], monkeypatch)
    assert len(rows) >= 2 and {row.value for row in rows} == {10.0} and said == IDLE and meter.closed


def test_without_a_meter_nothing_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    no_waiting(monkeypatch)
    assert before([], monkeypatch) == ([], []) and after(Metering(answers=False)) == []


@pytest.mark.parametrize("spec", [Probe, Beside])
def test_probes_and_runs_beside_another_are_not_waited_for(spec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    no_waiting(monkeypatch)
    assert before([answering()], monkeypatch, spec) == ([], []) and after(Metering(answers=True), spec) == []


def test_who_asks_for_an_end_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "IDLE_S", 60.0)
    assert before([answering()], monkeypatch, stopped=True)[1] == IDLE
    assert after(Metering(answers=True), stopped=True) == []


def test_the_runs_own_meters_go_on_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "IDLE_S", 0.3)
    metering = Metering(answers=True)
    assert after(metering) == IDLE and metering.written >= 2


def test_only_meters_of_energy_that_answer_are_kept_open(monkeypatch: pytest.MonkeyPatch) -> None:
    energy, silent = answering(), ReplayMeter(MeterInfo(name="rapl", status="not_measured", reason="no zones"), [])
    energy._info = MeterInfo(name="rapl", status="measured")
    asked: list[str] = []

    def opened(backend: str, pid: int, *, salt: str) -> list[Any]:
        asked.append(backend)
        return [energy, silent]

    monkeypatch.setattr(opening, "open_meters", opened)
    assert opening.open_energy_meters("torch-cuda", "salt") == [energy] and silent.closed and not energy.closed
    opening.open_energy_meters("jax-tpu", "salt")
    assert opening.open_energy_meters("endpoint", "salt") == [] and asked == ["torch-cuda", ""]
