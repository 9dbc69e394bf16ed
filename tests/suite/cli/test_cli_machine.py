"""`list`, `system` and `doctor`: what this machine and the rulebook offer, in JSON and in words."""

from __future__ import annotations

import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from oildrop.harness.backends import BACKENDS
from oildrop.harness.doctor import examine as doctoring
from oildrop.harness.doctor.point import Advice
from oildrop.harness.system import probe
from oildrop.rules.loading import load_rulebook
from oildrop.rules.rulebook import settings_of
from oildrop.rules.system import System
from oildrop.suite.cli.main import main

Capture = pytest.CaptureFixture[str]


def document(capsys: Capture, *words: str) -> Any:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def text(capsys: Capture, *words: str) -> str:
    assert main(list(words)) == 0
    return capsys.readouterr().out


def test_list_names_every_benchmark_suite_and_backend_with_a_reason_where_it_cannot_run(capsys: Capture) -> None:
    found = document(capsys, "list")
    assert found["schema"] == "oildrop.list/1"
    assert [entry["name"] for entry in found["benchmarks"]] == list(load_rulebook().benchmarks)
    assert [entry["backend"] for entry in found["backends"]] == [*BACKENDS, "endpoint"]
    assert all(entry["available"] or (entry["reason"] and entry["install"]) for entry in found["backends"])
    versions = {entry["backend"]: entry["version"] for entry in found["backends"] if entry["available"]}
    assert versions["torch-cpu"] == metadata.version("torch")
    assert "default" in found["suites"]


def test_list_for_people_says_yes_or_why_not(capsys: Capture) -> None:
    shown = text(capsys, "list")
    names = (*BACKENDS, "endpoint")
    lines = {line.split()[0]: line.split()[1].rstrip(",") for line in shown.splitlines() if line.startswith(names)}
    assert set(lines) == set(names)
    assert set(lines.values()) <= {"yes", "no:"}


@pytest.mark.parametrize(
    ("benchmark", "backends"), [("lm-serve", ["endpoint"]), ("embed", list(BACKENDS)), ("lm-pretrain", list(BACKENDS))]
)
def test_list_of_a_benchmark_names_the_backends_that_it_can_run_on(
    benchmark: str, backends: list[str], capsys: Capture
) -> None:
    assert document(capsys, "list", benchmark)["backends"] == backends
    assert f"backends: {', '.join(backends)}\n" in text(capsys, "list", benchmark).replace(",\n", ", ")


def test_list_of_a_benchmark_holds_every_settable_key(capsys: Capture) -> None:
    benchmark = load_rulebook().benchmarks["lm-pretrain"]
    found = document(capsys, "list", "lm-pretrain")
    settings = {entry["key"]: entry for entry in found["settings"]}
    assert set(settings) == {key for tier in benchmark.tiers.values() for key in settings_of(tier)}
    assert {key for key, entry in settings.items() if entry["closed"] == "free"} == set(benchmark.closed_free)
    assert settings["execution.dtype"]["default"]["nano"] == benchmark.tiers["nano"].settings["execution.dtype"]
    assert found["tiers"]["nano"]["target"] == benchmark.tiers["nano"].target
    assert len(found["sources"]) == len(benchmark.sources)


def test_list_of_a_benchmark_for_people_shows_target_cap_locks_and_sources(capsys: Capture) -> None:
    benchmark = load_rulebook().benchmarks["lm-pretrain"]
    shown = text(capsys, "list", "lm-pretrain")
    assert f"{benchmark.quality.metric} ≤ {benchmark.tiers['nano'].target:g} {benchmark.quality.unit}" in shown
    dtype = next(line for line in shown.splitlines() if line.startswith("execution.dtype"))
    assert "free" in dtype and "bf16" in dtype
    assert "locked" in next(line for line in shown.splitlines() if line.startswith("optimizer.learning_rate"))
    assert all(source.what in shown for source in benchmark.sources)


def test_system_is_a_record_that_a_bundle_could_hold(tmp_path: Path, capsys: Capture) -> None:
    found = document(capsys, "system", "--store", str(tmp_path / "none"))
    ids = {name: found.pop(name) for name in ("system_id", "software_id")}
    system = System.model_validate(found)
    assert found["schema"] == "oildrop.system/1"
    assert ids == {"system_id": system.system_id(), "software_id": system.software_id()}
    assert not (tmp_path / "none").exists()


def test_system_for_people_gives_a_reason_for_every_unknown(tmp_path: Path, capsys: Capture) -> None:
    shown = text(capsys, "system", "--store", str(tmp_path))
    assert "cpu.logical_cores" in shown
    assert "unknown: not reported" not in shown


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_system_shows_no_host_name(
    form: list[str], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = probe.probe_system()
    named = found.os.model_copy(update={"kernel": "6.1-built-on-secrethost7"})
    monkeypatch.setattr(probe, "probe_system", lambda salt: found.model_copy(update={"os": named}))
    monkeypatch.setattr(platform, "node", lambda: "secrethost7")
    shown = text(capsys, "system", *form, "--store", str(tmp_path))
    assert "secrethost7" not in shown
    assert "6.1-built-on-" in shown


def test_doctor_gives_advice_worst_first(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    good = Advice(id="cores", status="good", what="Cores are there.", evidence="2 of 2")
    bad = Advice(id="disk", status="bad", what="The disk is full.", evidence="0 GiB free", fix="Free space.")
    monkeypatch.setattr(doctoring, "examine", lambda root: [good, bad])
    found = document(capsys, "doctor", "--store", str(tmp_path))
    assert found["schema"] == "oildrop.doctor/1"
    assert [entry["id"] for entry in found["advice"]] == ["disk", "cores"]
    assert found["counts"] == {"bad": 1, "warn": 0, "unknown": 0, "good": 1}
    assert text(capsys, "doctor", "--store", str(tmp_path)) == (
        "✖ bad  The disk is full.\n    0 GiB free\n    what to do: Free space.\n"
        "● good  Cores are there.\n    2 of 2\n\n1 point would spoil a run, 0 points would touch it.\n"
    )


@pytest.mark.slow
def test_doctor_examines_this_machine(tmp_path: Path, capsys: Capture) -> None:
    found = document(capsys, "doctor", "--store", str(tmp_path / "none"))
    assert len(found["advice"]) > 5
    assert all(entry["fix"] for entry in found["advice"] if entry["status"] == "bad")
    assert not (tmp_path / "none").exists()
