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
    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0
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
