"""What else goes on on this machine, in one snapshot: it flags a run, never deletes it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import psutil

from oildrop.harness.meters.isolation import Answer
from oildrop.harness.meters.nvidia import describe_in_child, driver_present
from oildrop.harness.meters.process import process_tree
from oildrop.harness.system.cpu import frequency_driver, governor
from oildrop.harness.system.memory import parse_meminfo
from oildrop.harness.system.pci import amd_power_caps
from oildrop.harness.system.power_cap import read_power_cap
from oildrop.harness.system.source import Gaps, Host, this_host

WINDOW_S = 0.2
"""Time over which other processes' use of the processors is taken, seconds."""

HEAVY_FRACTION = 0.1
"""A process that uses more than this of one core counts as heavy."""

_CPUS = "sys/devices/system/cpu"
_KFD_PROCESSES = "sys/class/kfd/kfd/proc/[0-9]*"
"""One folder a process that computes on an AMD device. Source: Linux kernel, `amdkfd/kfd_process.c`."""


def host_state(
    store_root: Path | None = None,
    *,
    own_pids: Collection[int] = (),
    window_s: float = WINDOW_S,
    host: Host | None = None,
    describe: Callable[[], Answer] = describe_in_child,
) -> dict[str, Any]:
    """A snapshot of the host; every unknown is None.

    Args:
        store_root: Folder whose disk is looked at.
        own_pids: Processes that are not "other": with their descendants, as this process and its own are anyway.
        describe: Asks NVIDIA's library in a child; called only where its driver left a trace.

    Returns:
        `load_1m` (runnable processes), `steal_s` and `throttle_count` (since boot), `cpu_frequency_hz` (mean now),
        `governor`, `frequency_driver`, `power_cap_w` (of the processors), `on_battery`, `battery_fraction`,
        `memory_available_bytes`, `swap_used_bytes`, `store_free_bytes`, `heavy_processes` (count),
        `other_cpu_fraction` (of all processors), `accelerator_processes` (on all devices), and lists over the devices:
        `accelerator_power_limits_w`, `accelerator_default_limits_w`. No names of processes or users.
    """
    host = host or this_host()
    memory = parse_meminfo(host.text("proc/meminfo") or "")
    return {
        "load_1m": _load(host),
        "steal_s": _steal_s(),
        "throttle_count": throttle_count(host),
        "cpu_frequency_hz": _frequency_hz(host),
        "governor": governor(host),
        "frequency_driver": frequency_driver(host),
        "power_cap_w": read_power_cap(host, Gaps()),
        **_battery(),
        "memory_available_bytes": memory.get("MemAvailable", psutil.virtual_memory().available),
        "swap_used_bytes": psutil.swap_memory().used,
        "store_free_bytes": free_bytes(store_root),
        **others(own_pids, window_s),
        **accelerators_now(host, describe),
    }


def throttle_count(host: Host) -> int | None:
    """Thermal throttling events since boot over all cores and packages; None where the kernel does not count."""
    counts: dict[str, int] = {}
    for folder in host.matches(f"{_CPUS}/cpu[0-9]*/thermal_throttle"):
        cpu = folder.removesuffix("/thermal_throttle")
        package = host.text(f"{cpu}/topology/physical_package_id")
        core = host.text(f"{cpu}/topology/core_id")
        # Siblings repeat their core's counter, and every core its package's.
        for key, name in ((f"core {package} {core}", "core"), (f"package {package}", "package")):
            count = host.integer(f"{folder}/{name}_throttle_count")
            if count is not None:
                counts[key] = max(count, counts.get(key, 0))
    return sum(counts.values()) if counts else None


def free_bytes(folder: Path | None) -> int | None:
    """Free space that a user may fill on the disk of `folder`, or of its nearest ancestor that exists."""
    if folder is None:
        return None
    existing = next((path for path in (folder, *folder.absolute().parents) if path.exists()), None)
    try:
        return psutil.disk_usage(str(existing)).free if existing else None
    except OSError:
        return None


def others(own_pids: Collection[int], window_s: float) -> dict[str, Any]:
    """How many other processes are heavy, and which share of all processors other processes use."""
    own = {process.pid for pid in (os.getpid(), *own_pids) for process in process_tree(pid)}
    before, began = _process_times(own), time.monotonic()
    time.sleep(window_s)
    after, elapsed_s = _process_times(own), time.monotonic() - began
    return _shares(before, after, elapsed_s, psutil.cpu_count() or 1)


def accelerators_now(host: Host, describe: Callable[[], Answer]) -> dict[str, Any]:
    """Compute processes on all NVIDIA or AMD devices, and each one's power cap beside its maker's; None is unknown."""
    if driver_present(host.root):
        devices = (describe().value or {}).get("devices", [])
        counts = [device.get("compute_processes") for device in devices]
        processes = sum(counts) if counts and None not in counts else None
    else:
        devices = amd_power_caps(host)
        processes = len(host.matches(_KFD_PROCESSES)) if devices else None
    return {
        "accelerator_processes": processes,
        "accelerator_power_limits_w": [device.get("power_limit_w") for device in devices] or None,
        "accelerator_default_limits_w": [device.get("default_power_limit_w") for device in devices] or None,
    }


def _shares(
    before: dict[tuple[int, float], float], after: dict[tuple[int, float], float], elapsed_s: float, core_count: int
) -> dict[str, Any]:
    """Processes are told apart by pid and start time; one that came or went in the window is left out."""
    used_s = [after[key] - before[key] for key in after.keys() & before.keys()]
    return {
        "heavy_processes": sum(seconds > HEAVY_FRACTION * elapsed_s for seconds in used_s),
        "other_cpu_fraction": min(1.0, sum(used_s) / (elapsed_s * core_count)),
    }


def _process_times(own: Collection[int]) -> dict[tuple[int, float], float]:
    times = {}
    for process in psutil.process_iter():
        if process.pid in own:
            continue
        try:
            times[process.pid, process.create_time()] = sum(process.cpu_times()[:2])
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return times


def _load(host: Host) -> float | None:
    text = host.text("proc/loadavg")
    if text:
        return float(text.split()[0])
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _steal_s() -> float | None:
    return getattr(psutil.cpu_times(), "steal", None)


def _frequency_hz(host: Host) -> float | None:
    kilohertz = [host.integer(path) for path in host.matches(f"{_CPUS}/cpu[0-9]*/cpufreq/scaling_cur_freq")]
    known = [value * 1000 for value in kilohertz if value]
    return sum(known) / len(known) if known else None


def _battery() -> dict[str, Any]:
    """A machine without battery is not on battery; where psutil has no sensors, both are unknown."""
    try:
        battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    except (OSError, ValueError):
        return {"on_battery": None, "battery_fraction": None}
    if battery is None:
        return {"on_battery": None if not hasattr(psutil, "sensors_battery") else False, "battery_fraction": None}
    plugged = battery.power_plugged
    return {"on_battery": None if plugged is None else not plugged, "battery_fraction": battery.percent / 100}
