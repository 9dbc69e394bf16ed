"""All accelerators of the machine, vendor by vendor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from oildrop.harness.meters.isolation import Answer
from oildrop.harness.meters.nvidia import describe_in_child, driver_present
from oildrop.harness.system.device_ids import salted_id
from oildrop.harness.system.pci import AMD, GOOGLE, NVIDIA, TPU_MODELS, amd_driver, pci_accelerators, read_amd, read_tpu
from oildrop.harness.system.source import Gaps, Host
from oildrop.harness.system.sysctl import number, read_sysctl
from oildrop.rules.system import Accelerator


def read_accelerators(
    host: Host, salt: str, gaps: Gaps, *, describe: Callable[[], Answer] = describe_in_child
) -> tuple[tuple[Accelerator, ...], dict[str, str]]:
    """Accelerators and their drivers' versions. `gaps` says why a device that is there cannot be described.

    The vendor's library is asked only where its driver left a trace: elsewhere this costs no child process.
    """
    if host.system == "Darwin":
        return _read_apple(host, salt, gaps)
    devices = pci_accelerators(host)
    found: list[Accelerator] = []
    drivers: dict[str, str] = {}
    if driver_present(host.root):
        _read_nvidia(describe(), salt, gaps, found, drivers)
    elif any(device.vendor == NVIDIA for device in devices):
        gaps.known("accelerators.nvidia", None, "an NVIDIA device is on the bus without a driver; install it")
    for device in devices:
        field = f"accelerators.{len(found)}"
        if device.vendor == AMD and host.exists(f"{device.folder}/mem_info_vram_total"):
            found.append(read_amd(host, device, salt, gaps, field))
            drivers["amdgpu"] = amd_driver(host) or f"kernel {host.release}"
        elif device.vendor == AMD:
            gaps.known("accelerators.amd", None, "an AMD device is on the bus but amdgpu does not run it")
        elif device.vendor == GOOGLE and device.device in TPU_MODELS:
            found.append(read_tpu(device, salt, gaps, field))
    return tuple(found), drivers


def _read_nvidia(answer: Answer, salt: str, gaps: Gaps, found: list[Accelerator], drivers: dict[str, str]) -> None:
    if answer.value is None:
        gaps.known("accelerators.nvidia", None, answer.reason or "no answer")
        return
    versions = {"nvidia": answer.value["driver"], "cuda": answer.value["cuda"]}
    drivers.update({name: version for name, version in versions.items() if version})
    for device in answer.value["devices"]:
        found.append(_nvidia_device(device, answer.value["driver"], salt, gaps, f"accelerators.{len(found)}"))
    if answer.value["unreadable"]:
        gaps.known("accelerators.nvidia", None, "; ".join(answer.value["unreadable"]))


def _nvidia_device(device: dict[str, Any], driver: str | None, salt: str, gaps: Gaps, field: str) -> Accelerator:
    links = device["nvlinks"]

    def known(name: str, value: Any, source: str) -> Any:
        return gaps.known(f"{field}.{name}", value, device["missing"].get(source, "the driver does not tell it"))

    return Accelerator(
        vendor="nvidia",
        model=device["model"],
        device_id=salted_id(salt, device["uuid"]),
        memory_bytes=known("memory_bytes", device["memory_bytes"], "memory_bytes"),
        power_limit_w=known("power_limit_w", device["power_limit_w"], "power_limit_w"),
        driver=known("driver", driver, "driver"),
        peer_links=known("peer_links", None if links is None else f"nvlink x{links}", "nvlinks"),
    )


def _read_apple(host: Host, salt: str, gaps: Gaps) -> tuple[tuple[Accelerator, ...], dict[str, str]]:
    """The graphics part of Apple silicon: one a machine, sharing the main memory."""
    if host.machine != "arm64":
        return (), {}
    values = read_sysctl(host)
    model = values.get("machdep.cpu.brand_string", "Apple silicon")
    gaps.known("accelerators.0.power_limit_w", None, "Apple silicon has no power limit that it tells of")
    gaps.known("accelerators.0.driver", None, "the driver is part of macOS")
    gaps.known("accelerators.0.peer_links", None, "there is one accelerator")
    memory = gaps.known("accelerators.0.memory_bytes", number(values, "hw.memsize"), "sysctl has no hw.memsize")
    device_id = salted_id(salt, f"apple-gpu-0 {model}")
    accelerator = Accelerator(
        vendor="apple", model=model, device_id=device_id, memory_bytes=memory, power_limit_w=None, driver=None
    )
    return (accelerator,), {}
