"""The NVIDIA meter, driven by a stand-in for the vendor's library."""

import pynvml
import pytest

from oildrop.harness.meters.interface import MeterError
from oildrop.harness.meters.nvidia import NvidiaMeter, describe
from oildrop.harness.meters.nvidia_errors import CODES, meaning_of
from oildrop.harness.meters.nvidia_gpm import METRICS
from oildrop.rules.throttling import throttle_names


def values(meter: NvidiaMeter) -> dict[str, float]:
    return {reading.quantity: reading.value for reading in meter.sample()}


def test_all_quantities_in_si_units(nvml) -> None:
    meter = NvidiaMeter(nvml, "GPU-0", "salted")
    nvml.energy_mj += 12_345
    assert values(meter) == {
        "energy_j": pytest.approx(12.345),
        "power_w": 412.0,
        "busy_fraction": 0.87,
        "memory_busy_fraction": 0.25,
        "memory_used_bytes": 2**33,
        "sm_clock_hz": 1.98e9,
        "memory_clock_hz": 2.619e9,
        "throttle_bits": 4,
        "temperature_celsius": 61,
        "process_count": 1,
    }
    assert {(r.device, r.scope) for r in meter.sample()} == {("salted", "device")}
    info = meter.info()
    assert (info.status, info.scope, info.method) == ("measured", "device", "NVML total-energy counter, instant power")


def test_the_one_second_mean_stands_in_where_instant_power_is_not_offered(nvml) -> None:
    nvml.field_code = 3
    meter = NvidiaMeter(nvml, "GPU-0", "d")
    assert values(meter)["power_w"] == 398.5
    assert meter.info().method == "NVML total-energy counter, one-second mean power"


def test_an_absent_quantity_is_left_out_not_zero(nvml) -> None:
    nvml.codes["nvmlDeviceGetTotalEnergyConsumption"] = 3
    meter = NvidiaMeter(nvml, "GPU-0", "d")
    assert "energy_j" not in values(meter)
    assert meter.absent["energy_j"] == "the device does not offer it"
    assert meter.info().update_period_s is None and meter.measures_energy


def test_a_passing_error_leaves_out_one_sample(nvml) -> None:
    meter = NvidiaMeter(nvml, "GPU-0", "d")
    nvml.codes["nvmlDeviceGetTotalEnergyConsumption"] = 10
    assert "energy_j" not in values(meter)
    del nvml.codes["nvmlDeviceGetTotalEnergyConsumption"]
    assert values(meter)["energy_j"] == 0.0


def test_a_lost_device_ends_the_meter(nvml) -> None:
    meter = NvidiaMeter(nvml, "GPU-0", "d")
    nvml.codes["nvmlDeviceGetUtilizationRates"] = 15
    with pytest.raises(MeterError, match=r"fell off the bus; restart"):
        meter.sample()


def test_a_device_that_cannot_be_found_says_why(nvml) -> None:
    nvml.codes["nvmlDeviceGetHandleByUUID"] = 6
    with pytest.raises(MeterError, match="not found"):
        NvidiaMeter(nvml, "GPU-0", "d")


def test_a_partitioned_device_measures_no_energy(nvml) -> None:
    nvml.mig = 1
    meter = NvidiaMeter(nvml, "GPU-0", "d")
    assert not {"energy_j", "power_w"} & set(values(meter))
    assert "MIG" in meter.absent["energy_j"] and not meter.measures_energy


def test_a_superchips_counter_has_the_scope_of_the_module(nvml) -> None:
    nvml.name = b"NVIDIA GH200 480GB"
    scopes = {r.quantity: r.scope for r in NvidiaMeter(nvml, "GPU-0", "d").sample()}
    assert (scopes["energy_j"], scopes["power_w"], scopes["busy_fraction"]) == ("soc", "soc", "device")


def test_a_device_that_offers_nothing_is_not_measured(nvml) -> None:
    for name in (
        "nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetFieldValues", "nvmlDeviceGetPowerUsage",
        "nvmlDeviceGetUtilizationRates", "nvmlDeviceGetMemoryInfo", "nvmlDeviceGetClockInfo",
        "nvmlDeviceGetCurrentClocksThrottleReasons", "nvmlDeviceGetTemperature",
        "nvmlDeviceGetComputeRunningProcesses",
    ):  # fmt: skip
        nvml.codes[name] = 3
    info = NvidiaMeter(nvml, "GPU-0", "d").info()
    assert info.status == "not_measured" and "energy_j: the device does not offer it" in (info.reason or "")


def test_what_the_parts_do_from_hopper_on(nvml) -> None:
    nvml.gpm = True
    meter = NvidiaMeter(nvml, "GPU-0", "d")
    parts = {name: value for name, value in values(meter).items() if name in METRICS}
    assert parts == {
        "sm_active_fraction": 0.8,
        "sm_occupancy_fraction": 0.4,
        "tensor_active_fraction": pytest.approx(0.615),
        "dram_bandwidth_fraction": 0.72,
    }
    values(meter)
    assert [len(sample.times) for sample in nvml.gpm_samples] == [1, 2]  # in turn: each is the older one once
    meter.close()
    assert nvml.gpm_samples == []


def test_a_part_that_the_device_does_not_count_is_left_out(nvml) -> None:
    nvml.gpm = True
    del nvml.gpm_percent[5]
    assert "tensor_active_fraction" not in values(NvidiaMeter(nvml, "GPU-0", "d"))


def test_before_hopper_and_in_a_partition_the_parts_say_why(nvml) -> None:
    assert "Hopper" in NvidiaMeter(nvml, "GPU-0", "d").absent["sm_active_fraction"]
    nvml.codes["nvmlGpmQueryDeviceSupport"] = 13
    assert "too old" in NvidiaMeter(nvml, "GPU-0", "d").absent["sm_active_fraction"]
    nvml.mig = 1
    assert "MIG" in NvidiaMeter(nvml, "GPU-0", "d").absent["dram_bandwidth_fraction"]


def test_performance_monitoring_that_fails_costs_nothing_else(nvml) -> None:
    nvml.gpm = True
    nvml.codes["nvmlGpmMetricsGet"] = 20
    found = values(NvidiaMeter(nvml, "GPU-0", "d"))
    assert found["power_w"] == 412.0 and not METRICS.keys() & found.keys()
    nvml.codes["nvmlGpmSampleGet"] = 4
    meter = NvidiaMeter(nvml, "GPU-0", "d")
    assert "permission" in meter.absent["sm_active_fraction"] and len(nvml.gpm_samples) == 2


def test_a_sensor_that_sees_part_of_the_time_says_so(nvml) -> None:
    assert NvidiaMeter(nvml, "GPU-0", "d").info().seen_fraction is None
    nvml.name = "NVIDIA H100 80GB HBM3"
    info = NvidiaMeter(nvml, "GPU-0", "d").info()
    assert info.seen_fraction == 0.25 and info.pollable


def test_closing_twice_shuts_down_once(nvml) -> None:
    meter = NvidiaMeter(nvml, "GPU-0", "d")
    meter.close()
    meter.close()
    assert nvml.shutdowns == 1


def test_the_description_of_all_devices(nvml) -> None:
    nvml.codes["nvmlDeviceGetEnforcedPowerLimit"] = 3
    answer = describe(nvml)
    assert (answer["driver"], answer["cuda"], len(answer["devices"])) == ("999.10", "13.2", 2)
    assert answer["devices"][1] == {
        "uuid": "GPU-1",
        "model": "Imaginary H900",
        "memory_bytes": 2**36,
        "power_limit_w": None,
        "default_power_limit_w": 750.0,
        "nvlinks": 4,
        "compute_processes": 1,
        "throttle_bits": 4,
        "temperature_celsius": 61,
        "slowdown_celsius": 93,
        "persistence_mode": False,
        "ecc_mode": True,
        "mig_mode": False,
        "clock_offset_hz": -150_000_000,
        "missing": {"power_limit_w": "the device does not offer it"},
    }


def test_a_device_without_links_says_so_and_a_broken_one_is_named(nvml) -> None:
    nvml.links = 0
    assert describe(nvml)["devices"][0]["missing"] == {"nvlinks": "the device does not offer it"}
    nvml.codes["nvmlDeviceGetUUID"] = 15
    answer = describe(nvml)
    assert answer["devices"] == []
    assert answer["unreadable"][0] == "device 0: the device fell off the bus; restart the machine"


def test_uncountable_devices_are_an_error_in_words(nvml) -> None:
    nvml.codes["nvmlDeviceGetCount"] = 1
    with pytest.raises(MeterError, match="could not be counted: NVML was not initialised"):
        describe(nvml)


def test_every_error_code_of_the_binding_has_a_meaning() -> None:
    named = {value for name, value in vars(pynvml).items() if name.startswith("NVML_ERROR_") and isinstance(value, int)}
    assert named == set(CODES)
    assert meaning_of(12345).consequence == "retry" and "12345" in meaning_of(12345).text


def test_throttle_bits_in_words() -> None:
    assert throttle_names(0) == ()
    assert throttle_names(0x4 | 0x40) == ("power cap", "heat (hardware)")
    bits = {
        value
        for name, value in vars(pynvml).items()
        if name.startswith("nvmlClocksThrottleReason") and isinstance(value, int) and value.bit_count() == 1
    }
    assert all(throttle_names(bit) for bit in bits)
