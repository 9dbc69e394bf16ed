"""Measured ceilings on the page: of a system beside what is stated, of a run as a share of another name."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from oildrop.rules.loading import load_rulebook
from oildrop.rules.measures.making import present
from oildrop.rules.records import Metric
from oildrop.site.pages.build import build_site
from oildrop.site.pages.ceilings_table import ceiling_lines

H100 = "NVIDIA H100 80GB HBM3"


def ceilings() -> tuple[Metric, ...]:
    def made(name: str, value: float, **dims: str) -> Metric:
        return present(name, value, formula="f/1", scope="device", dims=dims)

    return (
        made("matmul_flop_per_s", 50e12),
        made("matmul_flop_per_s", 50e12, dtype="fp32"),
        made("matmul_flop_per_s", 742.05e12, dtype="bf16"),
        made("read_bandwidth_bytes_per_s", 3015e9),
        made("host_to_device_bytes_per_s", 25e9),
        made("repeat_spread_fraction", 0.02),
        made("repeat_spread_fraction", 0.015, of="matmul_flop_per_s", dtype="bf16"),
    )


def calibration(runs: ModuleType, number: int, *, backend: str, machine: Any, **changes: Any) -> Any:
    row = runs.row(number, backend=backend, machine=machine)
    spec = row.spec.model_copy(update={"kind": "calibrate", "benchmark": "calibrate", **changes})
    return replace(row, spec=spec, judgement=row.judgement.model_copy(update={"metrics": ceilings()}))


@pytest.fixture(scope="module")
def rows(runs: ModuleType) -> list[Any]:
    machine = runs.system(accelerator=H100)
    trained = runs.row(1, backend="torch-cuda", machine=machine, changes={"execution.dtype": "bf16"})
    return [trained, calibration(runs, 2, backend="torch-cuda", machine=machine)]


def test_a_system_shows_measured_ceilings_beside_stated_peaks(rows: list[Any]) -> None:
    lines = {(line.what, line.dtype): line for line in ceiling_lines(rows, load_rulebook())}
    assert len(lines) == 4
    assert lines["Matrix products", "bf16"].texts == ("742 TFLOP/s", "989 TFLOP/s", "75.0 %", "1.50 %")
    assert lines["Read bandwidth", ""].texts == ("3.02 TB/s", "3.35 TB/s", "90.0 %", None)
    assert lines["Copies to the device", ""].stated is None


def test_the_newest_calibration_of_each_software_and_backend_is_shown(runs: ModuleType, rows: list[Any]) -> None:
    machine = runs.system(accelerator=H100)
    newer = calibration(runs, 3, backend="torch-cuda", machine=machine)
    other = calibration(runs, 4, backend="jax-cuda", machine=machine)
    too_small = calibration(runs, 5, backend="torch-cuda", machine=machine, tier="smoke")
    shown = {(line.backend, line.run_id) for line in ceiling_lines([*rows, newer, other, too_small], load_rulebook())}
    assert shown == {("torch-cuda", newer.run_id), ("jax-cuda", other.run_id)}


@pytest.mark.parametrize(("cores", "stated", "bandwidth"), [(96, 11.366e12, 460.8e9), (2, 11.366e12 / 48, None)])
def test_a_part_of_a_processor_is_held_against_its_share(
    runs: ModuleType, cores: int, stated: float, bandwidth: float | None
) -> None:
    machine = runs.system()
    cpu = machine.cpu.model_copy(update={"model": "AMD EPYC 9654 96-Core Processor", "physical_cores": cores})
    row = calibration(runs, 5, backend="torch-cpu", machine=machine.model_copy(update={"cpu": cpu}))
    lines = {(line.what, line.dtype): line for line in ceiling_lines([row], load_rulebook())}
    assert lines["Matrix products", "fp32"].stated == pytest.approx(stated, rel=1e-4)
    assert lines["Read bandwidth", ""].stated == bandwidth


def test_the_pages_hold_the_table_its_csv_and_the_share_of_a_run(rows: list[Any], tmp_path: Path) -> None:
    build_site(rows, load_rulebook(), tmp_path / "page", built_utc="2026-11-28T00:00:00Z")
    (system,) = (tmp_path / "page" / "systems").glob("*.html")
    assert "Measured ceilings, beside what the vendor states" in system.read_text()
    (table,) = (tmp_path / "page" / "systems").glob("*.ceilings.csv")
    found = list(csv.DictReader(io.StringIO(table.read_text())))
    assert float(found[1]["measured_over_stated"]) == pytest.approx(0.75)
    shares = [
        (row["run_id"], row["of"], float(row["value"]))
        for path in (tmp_path / "page" / "r").glob("*.csv")
        for row in csv.DictReader(io.StringIO(path.read_text()))
        if row["name"] == "ceiling_flop_fraction"
    ]
    trained, calibrated = rows
    assert trained.spec.software_id == calibrated.spec.software_id
    achieved = trained.headlines["model_flop_per_s"].value
    assert shares == [(trained.run_id, f"calibration={calibrated.run_id}", pytest.approx(achieved / 742.05e12))]
