"""What the parts of an NVIDIA device do, by GPU performance monitoring (GPM): Hopper and later, no daemon, no root.

GPM compares two samples, so each reading is the mean since the one before. The library comes as an argument.
Source: NVIDIA, NVML API reference, "GPM functions", as bound by nvidia-ml-py 13.615.
"""

from __future__ import annotations

import math
from typing import Any

METRICS = {
    "sm_active_fraction": "NVML_GPM_METRIC_SM_UTIL",
    "sm_occupancy_fraction": "NVML_GPM_METRIC_SM_OCCUPANCY",
    "tensor_active_fraction": "NVML_GPM_METRIC_ANY_TENSOR_UTIL",
    "dram_bandwidth_fraction": "NVML_GPM_METRIC_DRAM_BW_UTIL",
}
"""Our quantities and GPM's, which are percentages."""

UNSUPPORTED = "the device has no performance monitoring (GPM begins with Hopper)"
PARTITIONED = "the device is partitioned (MIG): performance monitoring of a part is not read"


class Gpm:
    """Performance monitoring of one device."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        """Take the first sample. Raises the library's error where the driver refuses."""
        self._nvml, self._handle = nvml, handle
        self._samples: list[Any] = []
        try:
            for _ in range(2):
                self._samples.append(nvml.nvmlGpmSampleAlloc())
            nvml.nvmlGpmSampleGet(handle, self._samples[1])
        except nvml.NVMLError:
            self.close()
            raise

    def read(self) -> dict[str, float]:
        """Fractions since the reading before; what is not counted is left out. Raises the library's error."""
        nvml = self._nvml
        older, newer = self._samples[1], self._samples[0]
        nvml.nvmlGpmSampleGet(self._handle, newer)
        self._samples = [older, newer]
        asked = nvml.c_nvmlGpmMetricsGet_t()
        asked.version, asked.numMetrics = nvml.NVML_GPM_METRICS_GET_VERSION, len(METRICS)
        asked.sample1, asked.sample2 = older, newer
        for index, constant in enumerate(METRICS.values()):
            asked.metrics[index].metricId = getattr(nvml, constant)
        answered = nvml.nvmlGpmMetricsGet(asked).metrics
        return {
            name: answered[index].value / 100
            for index, name in enumerate(METRICS)
            if answered[index].nvmlReturn == 0 and math.isfinite(answered[index].value)
        }

    def close(self) -> None:
        """Free both samples."""
        while self._samples:
            self._nvml.nvmlGpmSampleFree(self._samples.pop())


def supported(nvml: Any, handle: Any) -> bool:
    """Whether the device counts. Raises the library's error where the driver does not know the question."""
    return bool(nvml.nvmlGpmQueryDeviceSupport(handle).isSupportedDevice)
