"""Accelerators that the kernel shows without any vendor library: AMD, Google, and devices without a driver."""

from __future__ import annotations

import os
from dataclasses import dataclass

from oildrop.harness.system.device_ids import salted_id
from oildrop.harness.system.source import Gaps, Host
from oildrop.rules.system import Accelerator

NVIDIA, AMD, GOOGLE = "0x10de", "0x1002", "0x1ae0"

TPU_MODELS = {"0x0027": "TPU v2/v3", "0x005e": "TPU v4", "0x0062": "TPU v5p", "0x0063": "TPU v5e", "0x006f": "TPU v6e"}
"""Models by PCI device id. Source: JAX, `jax/_src/hardware_utils.py`, read 2026-11-22."""

_DEVICES = "sys/bus/pci/devices"
_ACCELERATOR_CLASSES = ("0x0300", "0x0302", "0x0380", "0x1200")
"""Display controllers and processing accelerators. Source: PCI Code and ID Assignment, base classes 03h and 12h."""


@dataclass(frozen=True, kw_only=True)
class PciDevice:
    """One device on the bus; `folder` is where the kernel describes it."""

    folder: str
    address: str
    vendor: str
    device: str


def pci_accelerators(host: Host) -> list[PciDevice]:
    """Graphics and accelerator devices on the bus, in order of address."""
    found = []
    for folder in host.matches(f"{_DEVICES}/*"):
        vendor, device = host.text(f"{folder}/vendor"), host.text(f"{folder}/device")
        is_tpu = vendor == GOOGLE and device in TPU_MODELS
        if vendor and device and (is_tpu or (host.text(f"{folder}/class") or "").startswith(_ACCELERATOR_CLASSES)):
            found.append(PciDevice(folder=folder, address=os.path.basename(folder), vendor=vendor, device=device))
    return found


def read_amd(host: Host, device: PciDevice, salt: str, gaps: Gaps, field: str) -> Accelerator:
    """One AMD device that the amdgpu driver runs."""
    unique = host.text(f"{device.folder}/unique_id") or device.address
    return Accelerator(
        vendor="amd",
        model=host.text(f"{device.folder}/product_name") or f"AMD device {device.device}",
        device_id=salted_id(salt, unique),
        memory_bytes=gaps.known(
            f"{field}.memory_bytes", host.integer(f"{device.folder}/mem_info_vram_total"), "amdgpu does not show it"
        ),
        power_limit_w=gaps.known(
            f"{field}.power_limit_w", _amd_watts(host, device, "power1_cap"), "amdgpu shows no power cap"
        ),
        driver=gaps.known(f"{field}.driver", amd_driver(host), "amdgpu came with the kernel and has no version"),
        peer_links=gaps.known(f"{field}.peer_links", None, "not read for AMD devices"),
    )


def amd_power_caps(host: Host) -> list[dict[str, float | None]]:
    """Of each AMD device that the amdgpu driver runs: `power_limit_w`, and `default_power_limit_w`, its maker's."""
    names = {"power_limit_w": "power1_cap", "default_power_limit_w": "power1_cap_default"}
    return [
        {key: _amd_watts(host, device, name) for key, name in names.items()}
        for device in pci_accelerators(host)
        if device.vendor == AMD and host.exists(f"{device.folder}/mem_info_vram_total")
    ]


def _amd_watts(host: Host, device: PciDevice, name: str) -> float | None:
    """One of the driver's power caps, which it shows in microwatts. Source: Linux kernel, `amdgpu` hwmon interfaces."""
    caps_uw = [host.integer(path) for path in host.matches(f"{device.folder}/hwmon/hwmon*/{name}")]
    return next((cap / 1e6 for cap in caps_uw if cap), None)


def amd_driver(host: Host) -> str | None:
    """Version of the amdgpu module; the kernel's own has none."""
    return host.text("sys/module/amdgpu/version") or None


def read_tpu(device: PciDevice, salt: str, gaps: Gaps, field: str) -> Accelerator:
    """One TPU chip; without its runtime only the model is known."""
    for name in ("memory_bytes", "power_limit_w", "driver", "peer_links"):
        gaps.known(f"{field}.{name}", None, "a TPU tells it only through its runtime")
    return Accelerator(
        vendor="google",
        model=TPU_MODELS[device.device],
        device_id=salted_id(salt, device.address),
        memory_bytes=None,
        power_limit_w=None,
        driver=None,
    )
