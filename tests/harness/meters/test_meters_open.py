"""Which meters a backend gets, and what is said where none answers."""

from pathlib import Path

import pytest

from oildrop.harness.meters import amd
from oildrop.harness.meters.interface import MeterError, MeterInfo, Reading
from oildrop.harness.meters.isolation import Answer
from oildrop.harness.meters.open_meters import NO_DRIVER, open_amd, open_meters
from oildrop.harness.meters.replay import ReplayMeter
from oildrop.harness.system.device_ids import salted_id
from oildrop.results.bundle.telemetry import TelemetryRow

TWO = Answer(value={"driver": "1", "cuda": "13.0", "devices": [{"uuid": "GPU-0"}, {"uuid": "GPU-1"}]})


def never() -> Answer:
    raise AssertionError("nobody may ask the vendor's library")


def infos(backend: str, root: Path, **options: object) -> dict[str, MeterInfo]:
    meters = open_meters(backend, 1, root=root, environment={}, **options)  # type: ignore[arg-type]
    assert all(list(meter.sample()) == [] for meter in meters if meter.info().status == "not_measured")
    return {f"{info.name} {info.device or ''}".strip(): info for info in (meter.info() for meter in meters)}


def test_a_cpu_without_meters_says_why_energy_is_missing(tmp_path: Path) -> None:
    found = infos("torch-cpu", tmp_path, describe=never)
    assert list(found) == ["process worker", "rapl", "energy"]
    assert found["energy"].status == "not_measured"
    assert (found["energy"].reason or "").startswith("rapl: the kernel shows no powercap zones")


def test_rapl_alone_is_an_energy_meter(tmp_path: Path) -> None:
    zone = tmp_path / "sys/class/powercap/intel-rapl:0"
    zone.mkdir(parents=True)
    for name, text in (("name", "package-0"), ("energy_uj", "1"), ("max_energy_range_uj", "1000000")):
        (zone / name).write_text(text)
    assert list(infos("torch-cpu", tmp_path, describe=never)) == ["process worker", "rapl package-0"]


def test_cuda_without_driver_asks_nobody(tmp_path: Path) -> None:
    found = infos("torch-cuda", tmp_path, describe=never)
    assert found["nvidia"].reason == NO_DRIVER
    assert NO_DRIVER in (found["energy"].reason or "") and "rapl: " in (found["energy"].reason or "")


def test_a_library_that_hangs_in_the_child_is_never_loaded_here(tmp_path: Path, nvml) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").touch()

    def load() -> object:
        raise AssertionError("must not be loaded")

    found = infos("jax-cuda", tmp_path, describe=lambda: Answer(reason="no answer within 5 s"), load=load)
    assert found["nvidia"].reason == "no answer within 5 s"


def test_each_device_has_its_meter_bound_by_uuid(tmp_path: Path, nvml) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").touch()
    options = {"root": tmp_path, "salt": "s", "describe": lambda: TWO, "load": lambda: nvml}
    ids = [salted_id("s", f"GPU-{index}") for index in (0, 1)]
    everyone = open_meters("torch-cuda", 1, **options)  # type: ignore[arg-type]
    assert [m.info().device for m in everyone if m.info().name == "nvidia"] == ids
    chosen = open_meters("torch-cuda", 1, device_uuids=["1"], **options)  # type: ignore[arg-type]
    assert [m.info().device for m in chosen if m.info().name == "nvidia"] == ids[1:]
    assert "energy" not in {m.info().name for m in chosen}


def test_a_device_without_energy_and_power_leaves_the_energy_gap(tmp_path: Path, nvml) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").touch()
    nvml.mig = 1
    found = infos("torch-cuda", tmp_path, describe=lambda: TWO, load=lambda: nvml)
    assert "neither energy nor power is offered" in (found["energy"].reason or "")


@pytest.mark.parametrize(
    ("backend", "name"), [("torch-rocm", "amd"), ("torch-mps", "apple"), ("mlx-metal", "apple"), ("jax-tpu", "tpu")]
)
def test_a_platform_without_meter_says_so(tmp_path: Path, backend: str, name: str) -> None:
    found = infos(backend, tmp_path, describe=never)
    assert found[name].status == "not_measured" and name in (found["energy"].reason or "")


def test_amd_devices_are_bound_by_their_address(tmp_path: Path, smi) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/kfd").touch()
    answer = Answer(value=amd.describe(smi))
    options = {"root": tmp_path, "describe": lambda: answer, "load": lambda: smi}
    everyone = open_amd(None, "s", **options)  # type: ignore[arg-type]
    assert [meter.info().device for meter in everyone] == [salted_id("s", "aa00"), salted_id("s", "aa01")]
    (second,) = open_amd(["aa01"], "s", **options)  # type: ignore[arg-type]
    assert second.info().device == salted_id("s", "aa01")
    (empty,) = open_amd(["bb77"], "s", **options)  # type: ignore[arg-type]
    assert "is 0 of the 2 devices" in (empty.info().reason or "")


def test_a_device_that_the_library_does_not_find_is_empty(tmp_path: Path, smi) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/kfd").touch()
    answer = Answer(value=amd.describe(smi))
    smi.broken.add("amdsmi_get_processor_handle_from_bdf")
    meters = open_amd(None, "s", root=tmp_path, describe=lambda: answer, load=lambda: smi)
    assert {meter.info().status for meter in meters} == {"not_measured"}


def test_outside_meter_and_controller_are_opened_for_every_backend(tmp_path: Path) -> None:
    environment = {"OILDROP_METER": str(tmp_path / "none.toml"), "OILDROP_REDFISH": "http://bmc.example"}
    meters = open_meters("torch-cpu", 1, root=tmp_path, environment=environment)
    found = {meter.info().name: meter.info().reason or "" for meter in meters}
    assert "none.toml cannot be read" in found["wall"] and "must be https://" in found["redfish"]
    assert all(name in found["energy"] for name in ("rapl: ", "wall: ", "redfish: "))


def test_replay_gives_back_recorded_rows_then_ends() -> None:
    info = MeterInfo(name="rapl", status="measured")
    rows = [
        TelemetryRow(10, "rapl", "energy_j", "package-0", "package", 1.0),
        TelemetryRow(10, "rapl", "energy_j", "package-1", "package", 2.0),
        TelemetryRow(10, "process", "cpu_s", "worker", "process", 9.0),
        TelemetryRow(20, "rapl", "energy_j", "package-0", "package", 3.0),
    ]
    meter = ReplayMeter.of_rows(info, rows)
    assert [r.value for r in meter.sample()] == [1.0, 2.0]
    assert meter.sample() == (Reading("energy_j", "package-0", "package", 3.0),)
    with pytest.raises(MeterError, match="ended"):
        meter.sample()
