"""The RAPL meter on a folder of sample files."""

import os
from pathlib import Path

import pytest

from oildrop.harness.meters.interface import MeterError
from oildrop.harness.meters.rapl import RaplMeter, open_rapl

RANGE_UJ = 262_143_328_850


def zone(root: Path, name: str = "package-0", energy_uj: int = 1_000_000, folder: str = "intel-rapl:0") -> Path:
    path = root / "sys/class/powercap" / folder
    path.mkdir(parents=True, exist_ok=True)
    (path / "name").write_text(f"{name}\n")
    (path / "energy_uj").write_text(f"{energy_uj}\n")
    (path / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
    return path


def read_j(meter: RaplMeter) -> float:
    (reading,) = meter.sample()
    assert (reading.quantity, reading.scope) == ("energy_j", "package")
    return reading.value


def test_joules_count_from_the_opening(tmp_path: Path) -> None:
    path = zone(tmp_path)
    meter = RaplMeter(path, "package-0")
    assert read_j(meter) == 0.0
    (path / "energy_uj").write_text("3500000")
    assert read_j(meter) == 2.5
    (path / "energy_uj").write_text("4000000")
    assert read_j(meter) == 3.0


def test_a_wrap_is_counted_through(tmp_path: Path) -> None:
    path = zone(tmp_path, energy_uj=RANGE_UJ - 999_999)
    meter = RaplMeter(path, "package-0")
    (path / "energy_uj").write_text("2000000")
    assert read_j(meter) == 3.0


def test_a_counter_that_was_reset_ends_the_meter(tmp_path: Path) -> None:
    path = zone(tmp_path, energy_uj=50_000_000)
    meter = RaplMeter(path, "package-0")
    (path / "energy_uj").write_text("10")
    with pytest.raises(MeterError, match="50000000 to 10"):
        meter.sample()


def test_packages_memory_and_platform_have_scopes_of_their_own_and_cores_none(tmp_path: Path) -> None:
    zone(tmp_path)
    zone(tmp_path, "package-1", folder="intel-rapl:1")
    zone(tmp_path, "core", folder="intel-rapl:0:0")
    zone(tmp_path, "dram", folder="intel-rapl:0:1")
    zone(tmp_path, "dram", folder="intel-rapl:1:0")
    zone(tmp_path, "psys", folder="intel-rapl:2")
    infos = [meter.info() for meter in open_rapl(tmp_path)]
    assert [(i.device, i.status, i.scope) for i in infos] == [
        ("package-0", "measured", "package"),
        ("package-1", "measured", "package"),
        ("package-0/dram", "measured", "dram"),
        ("package-1/dram", "measured", "dram"),
        ("psys", "measured", "psys"),
    ]
    assert [reading.scope for meter in open_rapl(tmp_path) for reading in meter.sample()][2:] == ["dram"] * 2 + ["psys"]


def test_the_same_package_by_memory_mapped_registers_is_not_counted_twice(tmp_path: Path) -> None:
    zone(tmp_path)
    zone(tmp_path, folder="intel-rapl-mmio:0")
    assert [meter.info().device for meter in open_rapl(tmp_path)] == ["package-0"]


def test_no_zones_is_not_measured_with_the_way_out(tmp_path: Path) -> None:
    (meter,) = open_rapl(tmp_path)
    assert meter.info().status == "not_measured" and "modprobe" in (meter.info().reason or "")
    assert meter.sample() == ()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_counter_that_only_root_may_read(tmp_path: Path) -> None:
    (zone(tmp_path) / "energy_uj").chmod(0)
    (meter,) = open_rapl(tmp_path)
    assert "sudo chmod a+r" in (meter.info().reason or "")


def test_permission_denied_names_the_file_and_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zone(tmp_path)

    def deny(name: Path, flags: int) -> int:
        raise PermissionError(13, "Permission denied", str(name))

    monkeypatch.setattr(os, "open", deny)
    (meter,) = open_rapl(tmp_path)
    info = meter.info()
    assert info.status == "not_measured" and info.device == "package-0"
    assert f"sudo chmod a+r {path}" in (info.reason or "")


def test_a_file_that_holds_no_number(tmp_path: Path) -> None:
    (zone(tmp_path) / "energy_uj").write_text("soon\n")
    (meter,) = open_rapl(tmp_path)
    assert "cannot be read" in (meter.info().reason or "")
