"""AMD devices through amdsmi: energy, power, activity, clocks, memory, temperature.

`python -P -m oildrop.harness.meters.amd` describes all devices as JSON; it is run in a child before this process loads
the library, whose import raises KeyError without the driver. Devices are bound by their PCI address.

Source: amdsmi 7.0.2 (`amdsmi_interface.py`), read 2026-11-28.
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

MARK = "dev/kfd"
"""Trace of the amdgpu driver for computing."""

NO_DRIVER = "no AMD driver left a trace (/dev/kfd); install ROCm, or give the container the device"
NO_LIBRARY = (
    "amdsmi cannot be loaded ({error}); install the extra [amd] in the driver's version, and ROCm's amd-smi-lib"
)

MICROJOULE = 1e-6
ENERGY_UPDATE_S = 0.1
"""Slowest update that is assumed until it is measured, seconds."""

_ENERGY = ("energy_j", "power_w")


def driver_present(root: Path) -> bool:
    """Whether a driver left a trace; without it no child is started."""
    return (root / MARK).exists()


def load_library() -> Any:
    """Import amdsmi and initialise it. Raises MeterError in words, whatever the import raises."""
    try:
        import amdsmi
    except (ImportError, KeyError, OSError, AttributeError) as error:
        raise MeterError(NO_LIBRARY.format(error=f"{type(error).__name__}: {error}")) from error
    try:
        amdsmi.amdsmi_init()
    except amdsmi.AmdSmiException as error:
        raise MeterError(
            f"amdsmi does not start ({_words(error)}); is the user in the groups video and render?"
        ) from error
    return amdsmi


def describe_in_child(limit_s: float = ANSWER_LIMIT_S) -> Answer:
    """`describe` of every device, from a child that may hang or die; `reason` says why there is nothing."""
    answer = ask_module(__name__, limit_s=limit_s)
    if answer.value is not None and "error" in answer.value:
        return Answer(reason=answer.value["error"])
    return answer


def describe(smi: Any) -> dict[str, Any]:
    """PCI address and ids of every device. Raises MeterError when not even their list is known."""
    try:
        handles = smi.amdsmi_get_processor_handles()
    except smi.AmdSmiException as error:
        raise MeterError(f"the devices could not be listed: {_words(error)}") from error
    devices = []
    for handle in handles:
        address = _ask(smi, partial(smi.amdsmi_get_gpu_device_bdf, handle))
        if address is None:
            continue
        asic = _ask(smi, partial(smi.amdsmi_get_gpu_asic_info, handle)) or {}
        serial = str(asic.get("asic_serial", "")).lower().removeprefix("0x")
        uuid = _ask(smi, partial(smi.amdsmi_get_gpu_device_uuid, handle))
        devices.append({"address": address, "serial": serial, "uuid": uuid})
    return {"devices": devices}


def chosen(devices: Sequence[dict[str, Any]], uuids: Sequence[str] | None) -> list[dict[str, Any]] | str:
    """Those that the framework drives, by serial number, UUID or address; all where it names none; else why not.

    ROCm's frameworks write the serial number's letters as the bytes of a UUID.
    """
    if uuids is None:
        return list(devices)
    found = []
    for uuid in uuids:
        names = {uuid.lower(), uuid.lower().removeprefix("gpu-"), _serial_in(uuid)}
        same = [
            device for device in devices if names & {device["serial"], device["uuid"], device["address"]} - {"", None}
        ]
        if len(same) != 1:
            return f"the framework's device {uuid[:8]}… is {len(same)} of the {len(devices)} devices that amdsmi lists"
        found += same
    return found


def _serial_in(uuid: str) -> str:
    try:
        return bytes.fromhex(uuid.replace("-", "")).decode("ascii").lower()
    except ValueError:
        return ""


class AmdMeter:
    """Meter of one device. Energy counts in joules since the meter was opened.

    Quantities: `energy_j` (accumulator times resolution), `power_w`, `busy_fraction`, `memory_busy_fraction`,
    `memory_used_bytes`, `gpu_clock_hz`, `memory_clock_hz`, `temperature_celsius`, `process_count` (compute processes).
    What is not offered is left out.
    """

    def __init__(self, smi: Any, address: str, device_id: str) -> None:
        """Find the device by its PCI address. Raises MeterError when it cannot be found."""
        self._smi, self._device_id = smi, device_id
        try:
            self._handle = smi.amdsmi_get_processor_handle_from_bdf(address)
        except smi.AmdSmiException as error:
            raise MeterError(f"the device was not found: {_words(error)}") from error
        self._energy_base_j: float | None = None
        self._readers = {name: read for name, read in self._all_readers().items() if self._read(read) is not None}
        self._closed = False

    def info(self) -> MeterInfo:
        """Measured when anything answers; else the reason."""
        if not self._readers:
            return MeterInfo(
                name="amd", status="not_measured", reason="amdsmi offers nothing for it", device=self._device_id
            )
        offered = [name for name in _ENERGY if name in self._readers]
        return MeterInfo(
            name="amd",
            status="measured",
            scope="device",
            method="amdsmi " + (", ".join(offered) or "utilization (no energy, no power)"),
            device=self._device_id,
            update_period_s=ENERGY_UPDATE_S if offered else None,
            pollable=bool(offered),
        )

    @property
    def measures_energy(self) -> bool:
        """Whether energy or power answers."""
        return any(name in self._readers for name in _ENERGY)

    def sample(self) -> Sequence[Reading]:
        """Read all that the device offers. Raises MeterError when nothing answers any more."""
        values = {name: self._read(read) for name, read in self._readers.items()}
        if values and not any(value is not None for value in values.values()):
            raise MeterError("the driver answers nothing any more")
        return [Reading(name, self._device_id, "device", value) for name, value in values.items() if value is not None]

    def close(self) -> None:
        """Shut the library down (it counts its users)."""
        if not self._closed:
            self._closed = True
            _ask(self._smi, self._smi.amdsmi_shut_down)

    def _read(self, read: Callable[[], Any]) -> float | None:
        """A number, or None: amdsmi says "N/A" for what it does not know."""
        value = _ask(self._smi, read)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def _all_readers(self) -> dict[str, Callable[[], Any]]:
        smi, handle = self._smi, self._handle
        return {
            "energy_j": self._energy_j,
            "power_w": lambda: _first_number(
                smi.amdsmi_get_power_info(handle), ("current_socket_power", "average_socket_power", "socket_power")
            ),
            "busy_fraction": lambda: smi.amdsmi_get_gpu_activity(handle)["gfx_activity"] / 100,
            "memory_busy_fraction": lambda: smi.amdsmi_get_gpu_activity(handle)["umc_activity"] / 100,
            "memory_used_bytes": lambda: smi.amdsmi_get_gpu_vram_usage(handle)["vram_used"] * 2**20,
            "gpu_clock_hz": lambda: smi.amdsmi_get_clock_info(handle, smi.AmdSmiClkType.GFX)["clk"] * 1e6,
            "memory_clock_hz": lambda: smi.amdsmi_get_clock_info(handle, smi.AmdSmiClkType.MEM)["clk"] * 1e6,
            "temperature_celsius": lambda: smi.amdsmi_get_temp_metric(
                handle, smi.AmdSmiTemperatureType.HOTSPOT, smi.AmdSmiTemperatureMetric.CURRENT
            ),
            "process_count": lambda: len(smi.amdsmi_get_gpu_process_list(handle)),
        }

    def _energy_j(self) -> float:
        said = self._smi.amdsmi_get_energy_count(self._handle)
        total_j = said["energy_accumulator"] * said["counter_resolution"] * MICROJOULE
        if self._energy_base_j is None:
            self._energy_base_j = total_j
        return float(total_j - self._energy_base_j)


def _first_number(said: dict[str, Any], names: Sequence[str]) -> Any:
    """The first of several fields that holds a number over 0; devices fill different ones."""
    return next((said[name] for name in names if isinstance(said.get(name), int | float) and said[name] > 0), None)


def _ask(smi: Any, read: Callable[[], Any]) -> Any:
    """The value; None where the library refuses, lacks the field, or says "N/A" in place of a number."""
    try:
        return read()
    except (smi.AmdSmiException, KeyError, TypeError):
        return None


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def main() -> None:
    """Print all devices, or why there are none, as one line of JSON."""
    signal.alarm(round(ANSWER_LIMIT_S) + 5)  # If nobody is left to kill this child, the kernel does.
    try:
        answer = describe(load_library())
    except MeterError as error:
        answer = {"error": str(error)}
    sys.stdout.write("\n" + json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
