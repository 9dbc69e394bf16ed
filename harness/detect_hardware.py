"""A first look for each platform's hardware: device files and the bus; starts nothing and imports no framework."""

from __future__ import annotations

from oildrop.harness.system.pci import GOOGLE, pci_accelerators
from oildrop.harness.system.source import Host

NVIDIA_FILES = ("dev/nvidiactl", "dev/nvidia0", "dev/nvhost-gpu", "dev/dxg")
"""Of the driver: on desktops and in containers (the first two), on Jetson, and in Windows' Linux subsystem."""

AMD_FILES = ("dev/kfd", "dev/dxg")

TPU_FILES = "dev/accel[0-9]*"
"""Of chips up to v4; later ones are found on the bus."""


def missing_hardware(platform: str, host: Host) -> str | None:
    """Why `host` has no device for `platform`, the last part of a backend's name; None when it seems to have one."""
    if platform == "cuda" and not any(host.exists(path) for path in NVIDIA_FILES):
        return "no NVIDIA device is visible (no device file nvidiactl)"
    if platform == "rocm" and not any(host.exists(path) for path in AMD_FILES):
        return "no AMD accelerator is visible (no device file kfd)"
    if platform == "tpu" and not _has_tpu(host):
        return "no TPU is visible (neither a device file accel0 nor a chip on the bus)"
    if platform in ("mps", "metal") and (host.system, host.machine) != ("Darwin", "arm64"):
        return "this is no Mac with Apple silicon"
    return None


def _has_tpu(host: Host) -> bool:
    return bool(host.matches(TPU_FILES)) or any(device.vendor == GOOGLE for device in pci_accelerators(host))
