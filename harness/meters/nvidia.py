"""NVIDIA devices through NVML (nvidia-ml-py): energy, power, utilization, memory, clocks.

`python -P -m oildrop.harness.meters.nvidia` describes all devices as JSON; it is run in a child before
this process loads the library. Every function takes the library as an argument, so tests bring their own.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from oildrop.harness.meters.interface import MeterError, MeterInfo, Reading
from oildrop.harness.meters.isolation import ANSWER_LIMIT_S, Answer, ask_module
from oildrop.harness.meters.nvidia_errors import Meaning, meaning_of
from oildrop.harness.meters.nvidia_gpm import METRICS, PARTITIONED, UNSUPPORTED, Gpm, supported
from oildrop.harness.meters.nvidia_settings import setting_readers

MARKS = ("dev/nvidiactl", "dev/nvidia0", "dev/dxg", "proc/driver/nvidia")
"""Traces of an NVIDIA driver: native, in a container, in Windows' Linux subsystem."""

MODULE_MODELS = ("GH200",)
"""Models whose counter covers processor and accelerator together: scope `soc`, not `device`."""

PART_TIME_MODELS = {"A100": 0.25, "H100": 0.25}
"""Share of the time that the power sensor of a model sees. Source: Yang et al., arXiv:2312.02741 (2023)."""

ENERGY_UPDATE_S = 0.1
"""Slowest update of the total-energy counter that was seen, seconds."""

NVLINK_MAX_LINKS = 36

_POWER_NAMES = ("energy_j", "power_w")
_METHODS = {"energy_j": "total-energy counter", "power_w": "instant power", "power_w/mean": "one-second mean power"}


def driver_present(root: Path) -> bool:
    """Whether a driver left traces; without them no child is started."""
    return any((root / mark).exists() for mark in MARKS)


def load_library() -> Any:
    """Import NVML's binding and initialise it. Raises MeterError in words."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise MeterError(meaning_of(error.value).text) from error
    return pynvml


def describe_in_child(limit_s: float = ANSWER_LIMIT_S) -> Answer:
    """`describe` of every device, from a child that may hang or die; `reason` says why there is nothing."""
    answer = ask_module(__name__, limit_s=limit_s)
    if answer.value is not None and "error" in answer.value:
        return Answer(reason=answer.value["error"])
    return answer


def describe(nvml: Any) -> dict[str, Any]:
    """Driver versions and all devices as JSON; an unknown is None and `missing` says why.

    Raises MeterError when not even their count is known.
    """
    cuda, _ = _ask(nvml, nvml.nvmlSystemGetCudaDriverVersion)
    count, meaning = _ask(nvml, nvml.nvmlDeviceGetCount)
    if meaning is not None:
        raise MeterError(f"the devices could not be counted: {meaning.text}")
    answers = [_ask(nvml, partial(_describe_device, nvml, index)) for index in range(count)]
    return {
        "driver": _ask(nvml, nvml.nvmlSystemGetDriverVersion)[0],
        "cuda": f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else None,
        "devices": [device for device, _ in answers if device is not None],
        "unreadable": [f"device {i}: {why.text}" for i, (_, why) in enumerate(answers) if why is not None],
    }


def _describe_device(nvml: Any, index: int) -> dict[str, Any]:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    answers = {name: _ask(nvml, read) for name, read in setting_readers(nvml, handle).items()}
    answers["nvlinks"] = _ask(nvml, lambda: _count_nvlinks(nvml, handle))
    return {
        "uuid": _text(nvml.nvmlDeviceGetUUID(handle)),
        "model": _text(nvml.nvmlDeviceGetName(handle)),
        **{name: value for name, (value, _) in answers.items()},
        "missing": {name: meaning.text for name, (_, meaning) in answers.items() if meaning is not None},
    }


def _count_nvlinks(nvml: Any, handle: Any) -> int:
    """Active links to other devices. Raises the library's error when the device has no such links."""
    active = nvml.nvmlDeviceGetNvLinkState(handle, 0)
    for link in range(1, NVLINK_MAX_LINKS):
        state, _ = _ask(nvml, partial(nvml.nvmlDeviceGetNvLinkState, handle, link))
        if state is None:
            break
        active += state
    return int(active)


class NvidiaMeter:
    """Meter of one device, found by its UUID. Energy counts in joules since the meter was opened.

    Quantities: `energy_j`, `power_w` (instant where the driver offers it, else its one-second mean),
    `busy_fraction`, `memory_busy_fraction`, `memory_used_bytes`, `sm_clock_hz`, `memory_clock_hz`,
    `throttle_bits` (see `rules/throttling.py`), `temperature_celsius`, `process_count` (compute processes), and from
    Hopper on those of `nvidia_gpm`. What the device does not offer is left out.
    """

    def __init__(self, nvml: Any, uuid: str, device_id: str) -> None:
        """Find the device and learn what it offers. Raises MeterError when it cannot be found."""
        self._nvml = nvml
        self._device_id = device_id
        try:
            self._handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
            model = _text(nvml.nvmlDeviceGetName(self._handle))
        except nvml.NVMLError as error:
            raise MeterError(f"the device was not found: {meaning_of(error.value).text}") from error
        self._seen_fraction = next((share for name, share in PART_TIME_MODELS.items() if name in model), None)
        self._scope = "soc" if any(name in model for name in MODULE_MODELS) else "device"
        self.absent: dict[str, str] = {}
        self._energy_base_j = 0.0
        self._readers = self._choose_readers()
        self._gpm = self._open_gpm()
        self._closed = False

    def info(self) -> MeterInfo:
        """Measured when energy or power answers; else the reason."""
        method = [text for name, text in _METHODS.items() if name in self._readers]
        if not self._readers:
            reason = "; ".join(f"{name}: {why}" for name, why in self.absent.items())
            return MeterInfo(name="nvidia", status="not_measured", reason=reason, device=self._device_id)
        return MeterInfo(
            name="nvidia",
            status="measured",
            scope=self._scope,
            method="NVML " + (", ".join(method) or "utilization (no energy, no power)"),
            device=self._device_id,
            update_period_s=ENERGY_UPDATE_S if "energy_j" in self._readers else None,
            pollable=self.measures_energy,
            seen_fraction=self._seen_fraction,
        )

    @property
    def measures_energy(self) -> bool:
        """Whether energy or power answers."""
        return any(name.startswith(_POWER_NAMES) for name in self._readers)

    def sample(self) -> Sequence[Reading]:
        """Read all that the device offers. Raises MeterError when the device is gone for good."""
        readings = []
        for name, read in self._readers.items():
            value, meaning = _ask(self._nvml, read)
            if meaning is not None and meaning.consequence == "stop":
                raise MeterError(f"{name}: {meaning.text}")
            if value is not None:
                scope = self._scope if name.startswith(_POWER_NAMES) else "device"
                readings.append(Reading(name.partition("/")[0], self._device_id, scope, float(value)))
        return readings + self._parts()

    def close(self) -> None:
        """Shut the library down (it counts its users)."""
        if not self._closed:
            self._closed = True
            if self._gpm is not None:
                _ask(self._nvml, self._gpm.close)
            _ask(self._nvml, self._nvml.nvmlShutdown)

    def _parts(self) -> list[Reading]:
        """What its parts did since the sample before; nothing where it does not count, or not this time."""
        fractions, _ = _ask(self._nvml, self._gpm.read) if self._gpm is not None else ({}, None)
        return [Reading(name, self._device_id, "device", value) for name, value in (fractions or {}).items()]

    def _open_gpm(self) -> Gpm | None:
        """Performance monitoring; None with the reason in `absent`."""
        if self._is_partitioned():
            self.absent |= dict.fromkeys(METRICS, PARTITIONED)
            return None
        offered, meaning = _ask(self._nvml, lambda: supported(self._nvml, self._handle))
        gpm = None
        if offered:
            gpm, meaning = _ask(self._nvml, lambda: Gpm(self._nvml, self._handle))
        if gpm is None:
            self.absent |= dict.fromkeys(METRICS, UNSUPPORTED if meaning is None else meaning.text)
        return gpm

    def _choose_readers(self) -> dict[str, Callable[[], float]]:
        """Try every quantity once; keep those that answer or may answer later."""
        chosen = {}
        for name, read in self._all_readers().items():
            if name == "power_w/mean" and "power_w" in chosen:
                continue
            _, meaning = _ask(self._nvml, read)
            if meaning is None or meaning.consequence == "retry":
                chosen[name] = read
            else:
                self.absent[name.partition("/")[0]] = meaning.text
        return chosen

    def _all_readers(self) -> dict[str, Callable[[], float]]:
        nvml, handle = self._nvml, self._handle
        readers: dict[str, Callable[[], float]] = {
            "busy_fraction": lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100,
            "memory_busy_fraction": lambda: nvml.nvmlDeviceGetUtilizationRates(handle).memory / 100,
            "memory_used_bytes": lambda: nvml.nvmlDeviceGetMemoryInfo(handle).used,
            "sm_clock_hz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM) * 1_000_000,
            "memory_clock_hz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM) * 1_000_000,
            "throttle_bits": lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle),
            "temperature_celsius": lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
            "process_count": lambda: len(nvml.nvmlDeviceGetComputeRunningProcesses(handle)),
        }
        if self._is_partitioned():
            self.absent["energy_j"] = "the device is partitioned (MIG): its counter includes other tenants' load"
            return readers
        return {
            "energy_j": self._energy_j,
            "power_w": self._instant_power_w,
            "power_w/mean": lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000,
            **readers,
        }

    def _energy_j(self) -> float:
        total_j = self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle) / 1000
        if not self._energy_base_j:
            self._energy_base_j = total_j
        return float(total_j - self._energy_base_j)

    def _instant_power_w(self) -> float:
        field = self._nvml.nvmlDeviceGetFieldValues(self._handle, [self._nvml.NVML_FI_DEV_POWER_INSTANT])[0]
        if field.nvmlReturn != 0:
            raise self._nvml.NVMLError(field.nvmlReturn)
        return float(field.value.uiVal / 1000)

    def _is_partitioned(self) -> bool:
        mode, _ = _ask(self._nvml, lambda: self._nvml.nvmlDeviceGetMigMode(self._handle)[0])
        return mode == 1


def _ask(nvml: Any, read: Callable[[], Any]) -> tuple[Any, Meaning | None]:
    """The value, or None with the meaning of the library's error."""
    try:
        return _text(read()), None
    except nvml.NVMLError as error:
        return None, meaning_of(error.value)


def _text(value: Any) -> Any:
    """Old bindings answer bytes where new ones answer text."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def main() -> None:
    """Print all devices, or why there are none, as one line of JSON."""
    # If nobody is left to kill this child when the driver hangs, the kernel does.
    signal.alarm(round(ANSWER_LIMIT_S) + 5)
    try:
        answer = describe(load_library())
    except (MeterError, ImportError) as error:
        answer = {"error": str(error)}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
