"""A stand-in for NVML's Python binding: one device whose answers a test can set."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

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

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}
        self.energy_mj = 5_000_000
        self.power_instant_mw = 412_000
        self.field_code = 0
        self.name: str | bytes = "Imaginary H900"
        self.mig = 0
        self.links = 4
        self.shutdowns = 0

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

    def _shutdown(self) -> None:
        self.shutdowns += 1


@pytest.fixture
def nvml() -> FakeNvml:
    return FakeNvml()
