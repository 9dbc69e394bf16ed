"""How an NVIDIA device is set and how it is just now: what is asked of NVML once, before and after a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

MEGAHERTZ = 1_000_000


def setting_readers(nvml: Any, handle: Any) -> Mapping[str, Callable[[], Any]]:
    """A reader for each setting; each raises NVML's error where the device does not offer it.

    `memory_bytes`; `power_limit_w` and `default_power_limit_w`; `compute_processes`; `throttle_bits` (see
    `rules/throttling.py`); `temperature_celsius` and `slowdown_celsius`, at which the hardware slows itself;
    `persistence_mode`, `ecc_mode` and `mig_mode`, true where on; `clock_offset_hz`, by which somebody moved its clock.
    """
    return {
        "memory_bytes": lambda: nvml.nvmlDeviceGetMemoryInfo(handle).total,
        "power_limit_w": lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000,
        "default_power_limit_w": lambda: nvml.nvmlDeviceGetPowerManagementDefaultLimit(handle) / 1000,
        "compute_processes": lambda: len(nvml.nvmlDeviceGetComputeRunningProcesses(handle)),
        "throttle_bits": lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle),
        "temperature_celsius": lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
        "slowdown_celsius": lambda: nvml.nvmlDeviceGetTemperatureThreshold(
            handle, nvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN
        ),
        "persistence_mode": lambda: bool(nvml.nvmlDeviceGetPersistenceMode(handle)),
        "ecc_mode": lambda: bool(nvml.nvmlDeviceGetEccMode(handle)[0]),
        "mig_mode": lambda: bool(nvml.nvmlDeviceGetMigMode(handle)[0]),
        "clock_offset_hz": lambda: nvml.nvmlDeviceGetGpcClkVfOffset(handle) * MEGAHERTZ,
    }
