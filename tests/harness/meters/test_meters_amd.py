"""The AMD meter, driven by a stand-in for the vendor's library."""

import builtins
import importlib.util
import sys
from types import ModuleType

import pytest

from oildrop.harness.meters import amd
from oildrop.harness.meters.amd import AmdMeter, chosen, describe, load_library
from oildrop.harness.meters.interface import MeterError
from oildrop.harness.sampler import Sampler


def values(meter: AmdMeter) -> dict[str, float]:
    return {reading.quantity: reading.value for reading in meter.sample()}


def test_all_quantities_in_si_units(smi) -> None:
    meter = AmdMeter(smi, "0000:40:00.0", "salted")
    smi.accumulator[0] += 1_000_000
    assert values(meter) == {
        "energy_j": pytest.approx(15.3),
        "power_w": 412.0,
        "busy_fraction": 0.87,
        "memory_busy_fraction": 0.25,
        "memory_used_bytes": 2**33,
        "gpu_clock_hz": 1.7e9,
        "memory_clock_hz": 1.6e9,
        "temperature_celsius": 61.0,
        "process_count": 2.0,
    }
    info = meter.info()
    assert (info.status, info.scope, info.pollable, info.method) == (
        "measured", "device", True, "amdsmi energy_j, power_w",
    )  # fmt: skip


def test_what_is_not_known_is_left_out_not_zero(smi) -> None:
    smi.power = dict.fromkeys(smi.power, "N/A")
    smi.activity["umc_activity"] = "N/A"
    smi.broken.add("amdsmi_get_energy_count")
    meter = AmdMeter(smi, "0000:40:00.0", "d")
    assert not {"energy_j", "power_w", "memory_busy_fraction"} & values(meter).keys()
    assert not meter.measures_energy and meter.info().update_period_s is None


def test_a_second_die_that_reads_no_watts_has_no_power(smi) -> None:
    smi.power = {"socket_power": 0, "current_socket_power": 0, "average_socket_power": 0}
    assert "power_w" not in values(AmdMeter(smi, "0000:41:00.0", "d"))


def test_one_error_leaves_out_one_quantity_and_all_end_the_meter(smi) -> None:
    meter = AmdMeter(smi, "0000:40:00.0", "d")
    smi.broken.add("amdsmi_get_power_info")
    assert "power_w" not in values(meter) and "energy_j" in values(meter)
    smi.broken |= {
        "amdsmi_get_energy_count", "amdsmi_get_gpu_activity", "amdsmi_get_gpu_vram_usage", "amdsmi_get_clock_info",
        "amdsmi_get_temp_metric", "amdsmi_get_gpu_process_list",
    }  # fmt: skip
    with pytest.raises(MeterError, match="answers nothing any more"):
        meter.sample()


def test_a_device_that_offers_nothing_is_not_measured(smi) -> None:
    smi.broken |= {
        "amdsmi_get_energy_count", "amdsmi_get_gpu_activity", "amdsmi_get_gpu_vram_usage", "amdsmi_get_clock_info",
        "amdsmi_get_temp_metric", "amdsmi_get_power_info", "amdsmi_get_gpu_process_list",
    }  # fmt: skip
    assert AmdMeter(smi, "0000:40:00.0", "d").info().status == "not_measured"


def test_closing_twice_shuts_down_once(smi) -> None:
    meter = AmdMeter(smi, "0000:40:00.0", "d")
    meter.close()
    meter.close()
    assert smi.shutdowns == 1


def test_the_description_of_all_devices(smi) -> None:
    assert describe(smi)["devices"][1] == {
        "address": "0000:41:00.0",
        "serial": "aa01",
        "uuid": "10ff74a1-0000-1000-80f5-f3b1ab0d5af4",
    }
    smi.broken.add("amdsmi_get_processor_handles")
    with pytest.raises(MeterError, match="could not be listed: AMDSMI_STATUS_NOT_SUPPORTED"):
        describe(smi)


@pytest.mark.parametrize(
    "name", ["aa01", "GPU-aa01", "AA01", "0000:41:00.0", "61613031", "10ff74a1-0000-1000-80f5-f3b1ab0d5af4"]
)
def test_a_device_by_each_of_its_names(smi, name: str) -> None:
    found = chosen(describe(smi)["devices"], [name])
    assert [device["address"] for device in found] == ["0000:41:00.0"]  # type: ignore[index]


def test_all_devices_where_the_framework_names_none(smi) -> None:
    assert len(chosen(describe(smi)["devices"], None)) == 2


@pytest.mark.parametrize("error", [KeyError("libamd_smi.so"), ImportError("no amdsmi"), OSError("no libamd_smi.so")])
def test_an_import_that_fails_in_any_way_is_a_reason(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    real = builtins.__import__

    def fail(name: str, *rest: object) -> ModuleType:
        if name == "amdsmi":
            raise error
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(MeterError, match=r"amdsmi cannot be loaded .* install the extra \[amd\]"):
        load_library()


def test_a_library_that_does_not_start_is_a_reason(monkeypatch: pytest.MonkeyPatch, smi) -> None:
    smi.broken.add("amdsmi_init")
    monkeypatch.setitem(sys.modules, "amdsmi", smi)
    with pytest.raises(MeterError, match=r"does not start .* groups video and render"):
        load_library()


@pytest.mark.skipif(importlib.util.find_spec("amdsmi") is not None, reason="amdsmi is installed here")
def test_without_the_library_the_child_says_why() -> None:
    answer = amd.describe_in_child(limit_s=60)
    assert answer.value is None and "amdsmi cannot be loaded" in (answer.reason or "")


def test_energy_counts_from_the_opening_though_sampled_by_the_thread(smi) -> None:
    rows: list = []
    sampler = Sampler(
        [AmdMeter(smi, "0000:40:00.0", "d")], start_ns=0, on_rows=rows.extend, on_meter_change=rows.append
    )
    for _ in range(3):
        smi.accumulator[0] += 1000
        sampler.sample_once()
    sampler.flush()
    energy_j = [row.value for row in rows if row.quantity == "energy_j"]
    assert energy_j == pytest.approx([0.0153, 0.0306, 0.0459])
