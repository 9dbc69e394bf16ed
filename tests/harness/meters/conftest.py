"""A stand-in for NVML's Python binding: one device whose answers a test can set."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest


class FakeNVMLError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(f"code {value}")
        self.value = value


class FakeNvml:
    """Answers by name; an int in `codes` is raised as that error code."""

    NVMLError = FakeNVMLError
    NVML_FI_DEV_POWER_INSTANT = 186
    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU, NVML_TEMPERATURE_THRESHOLD_SLOWDOWN = 1, 2, 0, 1
    NVML_GPM_METRICS_GET_VERSION = pynvml.NVML_GPM_METRICS_GET_VERSION
    NVML_GPM_METRIC_SM_UTIL = pynvml.NVML_GPM_METRIC_SM_UTIL
    NVML_GPM_METRIC_SM_OCCUPANCY = pynvml.NVML_GPM_METRIC_SM_OCCUPANCY
    NVML_GPM_METRIC_ANY_TENSOR_UTIL = pynvml.NVML_GPM_METRIC_ANY_TENSOR_UTIL
    NVML_GPM_METRIC_DRAM_BW_UTIL = pynvml.NVML_GPM_METRIC_DRAM_BW_UTIL

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}
        self.energy_mj = 5_000_000
        self.power_instant_mw = 412_000
        self.field_code = 0
        self.name: str | bytes = "Imaginary H900"
        self.mig = 0
        self.links = 4
        self.shutdowns = 0
        self.gpm = False
        self.gpm_percent = {2: 80.0, 3: 40.0, 5: 61.5, 10: 72.0}
        self.gpm_samples: list[SimpleNamespace] = []

    def c_nvmlGpmMetricsGet_t(self) -> SimpleNamespace:
        return SimpleNamespace(metrics=[SimpleNamespace(nvmlReturn=0, value=0.0) for _ in range(8)])

    def __getattr__(self, name: str) -> Callable[..., Any]:
        answers: dict[str, Callable[..., Any]] = {
            "nvmlDeviceGetHandleByUUID": lambda uuid: uuid,
            "nvmlDeviceGetHandleByIndex": lambda index: f"GPU-{index}",
            "nvmlDeviceGetCount": lambda: 2,
            "nvmlDeviceGetUUID": lambda handle: handle,
            "nvmlDeviceGetName": lambda handle: self.name,
            "nvmlSystemGetDriverVersion": lambda: b"999.10",
            "nvmlSystemGetCudaDriverVersion": lambda: 13020,
            "nvmlDeviceGetTotalEnergyConsumption": lambda handle: self.energy_mj,
            "nvmlDeviceGetPowerUsage": lambda handle: 398_500,
            "nvmlDeviceGetEnforcedPowerLimit": lambda handle: 700_000,
            "nvmlDeviceGetPowerManagementDefaultLimit": lambda handle: 750_000,
            "nvmlDeviceGetTemperatureThreshold": lambda handle, which: {1: 93}[which],
            "nvmlDeviceGetPersistenceMode": lambda handle: 0,
            "nvmlDeviceGetEccMode": lambda handle: [1, 0],
            "nvmlDeviceGetGpcClkVfOffset": lambda handle: -150,
            "nvmlDeviceGetFieldValues": lambda handle, fields: [
                SimpleNamespace(nvmlReturn=self.field_code, value=SimpleNamespace(uiVal=self.power_instant_mw))
            ],
            "nvmlDeviceGetUtilizationRates": lambda handle: SimpleNamespace(gpu=87, memory=25),
            "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(used=2**33, total=2**36),
            "nvmlDeviceGetClockInfo": lambda handle, kind: {1: 1980, 2: 2619}[kind],
            "nvmlDeviceGetCurrentClocksThrottleReasons": lambda handle: 0x4,
            "nvmlDeviceGetTemperature": lambda handle, sensor: 61,
            "nvmlDeviceGetMigMode": lambda handle: [self.mig, self.mig],
            "nvmlDeviceGetComputeRunningProcesses": lambda handle: [object()],
            "nvmlDeviceGetNvLinkState": lambda handle, link: self._link(link),
            "nvmlGpmQueryDeviceSupport": lambda handle: SimpleNamespace(isSupportedDevice=int(self.gpm)),
            "nvmlGpmSampleAlloc": self._alloc,
            "nvmlGpmSampleGet": lambda handle, sample: sample.times.append(len(sample.times)),
            "nvmlGpmSampleFree": self.gpm_samples.remove,
            "nvmlGpmMetricsGet": self._metrics,
            "nvmlShutdown": self._shutdown,
        }

        def call(*arguments: Any) -> Any:
            if name in self.codes:
                raise FakeNVMLError(self.codes[name])
            return answers[name](*arguments)

        return call

    def _link(self, link: int) -> int:
        if link >= self.links:
            raise FakeNVMLError(2 if self.links else 3)
        return 1

    def _alloc(self) -> SimpleNamespace:
        self.gpm_samples.append(SimpleNamespace(times=[], name=len(self.gpm_samples)))
        return self.gpm_samples[-1]

    def _metrics(self, asked: SimpleNamespace) -> SimpleNamespace:
        assert asked.sample1 is not asked.sample2 and asked.sample1.times and asked.sample2.times
        for metric in asked.metrics[: asked.numMetrics]:
            found = self.gpm_percent.get(metric.metricId)
            metric.nvmlReturn, metric.value = (3, float("nan")) if found is None else (0, found)
        return asked

    def _shutdown(self) -> None:
        self.shutdowns += 1


@pytest.fixture
def nvml() -> FakeNvml:
    return FakeNvml()


class FakeSmiError(Exception):
    """amdsmi's base exception."""


class FakeSmi:
    """Answers like amdsmi: two dies of one module; names in `broken` raise its exception."""

    AmdSmiException = FakeSmiError
    AmdSmiClkType = SimpleNamespace(GFX="gfx", MEM="mem")
    AmdSmiTemperatureType = SimpleNamespace(HOTSPOT="hotspot")
    AmdSmiTemperatureMetric = SimpleNamespace(CURRENT="current")

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.accumulator = [1_000_000, 2_000_000]
        self.power: dict[str, Any] = {"socket_power": 0, "current_socket_power": "N/A", "average_socket_power": 412}
        self.activity: dict[str, Any] = {"gfx_activity": 87, "umc_activity": 25, "mm_activity": "N/A"}
        self.shutdowns = 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        answers: dict[str, Callable[..., Any]] = {
            "amdsmi_get_processor_handles": lambda: [0, 1],
            "amdsmi_get_gpu_device_bdf": lambda handle: f"0000:4{handle}:00.0",
            "amdsmi_get_gpu_asic_info": lambda handle: {"asic_serial": f"0xAA0{handle}"},
            "amdsmi_get_gpu_device_uuid": lambda handle: f"{handle}0ff74a1-0000-1000-80f5-f3b1ab0d5af4",
            "amdsmi_get_processor_handle_from_bdf": lambda address: int(address[6]),
            "amdsmi_get_energy_count": lambda handle: {
                "energy_accumulator": self.accumulator[handle],
                "counter_resolution": 15.3,
                "timestamp": 1,
            },
            "amdsmi_get_power_info": lambda handle: self.power,
            "amdsmi_get_gpu_activity": lambda handle: self.activity,
            "amdsmi_get_gpu_process_list": lambda handle: [{"pid": 17}, {"pid": 18}],
            "amdsmi_get_gpu_vram_usage": lambda handle: {"vram_total": 65520, "vram_used": 8192},
            "amdsmi_get_clock_info": lambda handle, kind: {"clk": {"gfx": 1700, "mem": 1600}[kind]},
            "amdsmi_get_temp_metric": lambda handle, kind, metric: 61,
            "amdsmi_shut_down": self._shut_down,
        }

        def call(*arguments: Any) -> Any:
            if name in self.broken:
                raise FakeSmiError("AMDSMI_STATUS_NOT_SUPPORTED - Feature not supported")
            return answers[name](*arguments)

        return call

    def _shut_down(self) -> None:
        self.shutdowns += 1


@pytest.fixture
def smi() -> FakeSmi:
    return FakeSmi()
