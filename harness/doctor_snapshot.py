"""Reads what the doctor judges: this machine at one moment."""

from __future__ import annotations

import os
import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import psutil

from oildrop.harness.host_state import host_state
from oildrop.harness.meters import amd, tpu
from oildrop.harness.meters.interface import Meter, MeterInfo
from oildrop.harness.meters.isolation import Answer
from oildrop.harness.meters.nvidia import describe_in_child, driver_present
from oildrop.harness.meters.open_meters import open_meters
from oildrop.harness.system.cgroups import cpu_quota_cores, memory_limit_bytes
from oildrop.harness.system.cpu import usable_cores
from oildrop.harness.system.operating_system import detect_virtualisation
from oildrop.harness.system.software import framework_versions
from oildrop.harness.system.source import Host, this_host
from oildrop.results.layout import StoreLayout
from oildrop.results.liveness import is_alive

_CLOCK = "sys/devices/system/clocksource/clocksource0/current_clocksource"
_DRIVER = "sys/devices/system/cpu/cpu0/cpufreq/scaling_driver"

ADAPTIVE_DRIVERS = ("intel_pstate", "amd-pstate-epp")
"""Drivers whose governor `powersave` is the ordinary one: it lets the processor raise its own frequency.

Source: Linux kernel administration guide, pages on intel_pstate and amd-pstate.
"""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What was read; None is unknown.

    Attributes:
        other_cpu_fraction: Share of all processors that other processes used during the look.
        governor_is_adaptive: Whether `powersave` under this driver still lets the frequency rise.
        steal_fraction: Stolen time over all processor time since boot.
        live_runs: Ids of runs of this store whose supervisor lives.
        frameworks: Versions of installed frameworks by name.
        cxx_compiler: Path of a C++ compiler.
        python_header: Whether Python.h of this interpreter is there.
    """

    logical_cores: int
    usable_cores: int
    cpu_quota_cores: float | None
    other_cpu_fraction: float
    heavy_processes: int
    governor: str | None
    governor_is_adaptive: bool
    on_battery: bool | None
    memory_available_bytes: int
    swap_used_bytes: int
    store_free_bytes: int | None
    throttle_count: int | None
    accelerator_processes: int | None
    clock_source: str | None
    virtualisation: str | None
    steal_fraction: float | None
    frameworks: dict[str, str]
    cxx_compiler: str | None
    python_header: bool
    live_runs: tuple[str, ...]
    meters: tuple[MeterInfo, ...]


def take_snapshot(store_root: Path, host: Host | None = None) -> Snapshot:
    """Look at this machine; takes some tenths of a second."""
    host = host or this_host()
    answer = describe_in_child() if driver_present(host.root) else Answer(reason="no driver")
    state = host_state(store_root, host=host, describe=lambda: answer)
    return Snapshot(
        logical_cores=host.cpu_count,
        usable_cores=usable_cores(host),
        cpu_quota_cores=cpu_quota_cores(host),
        other_cpu_fraction=state["other_cpu_fraction"],
        heavy_processes=state["heavy_processes"],
        governor=state["governor"],
        governor_is_adaptive=host.text(_DRIVER) in ADAPTIVE_DRIVERS,
        on_battery=state["on_battery"],
        memory_available_bytes=_available_bytes(host, state["memory_available_bytes"]),
        swap_used_bytes=state["swap_used_bytes"],
        store_free_bytes=state["store_free_bytes"],
        throttle_count=state["throttle_count"],
        accelerator_processes=state["accelerator_processes"],
        clock_source=host.text(_CLOCK),
        virtualisation=detect_virtualisation(host),
        steal_fraction=_steal_fraction(),
        frameworks=framework_versions(),
        cxx_compiler=_compiler(host),
        python_header=(Path(sysconfig.get_path("include")) / "Python.h").is_file(),
        live_runs=live_runs(store_root),
        meters=_meter_infos(host, answer),
    )


def live_runs(store_root: Path) -> tuple[str, ...]:
    """Ids of runs whose supervisor holds its lock, sorted."""
    locks = StoreLayout(store_root).locks
    return tuple(sorted(path.stem for path in locks.glob("*.lock") if is_alive(path)))


def _available_bytes(host: Host, available_bytes: int) -> int:
    """What the machine has left, or the container's whole limit where that is less."""
    limit = memory_limit_bytes(host)
    return available_bytes if limit is None else min(available_bytes, limit)


def _steal_fraction() -> float | None:
    times = psutil.cpu_times()
    total_s = sum(times)
    return times.steal / total_s if hasattr(times, "steal") and total_s > 0 else None


def _compiler(host: Host) -> str | None:
    """The compiler that torch.compile would take: $CXX, else the first of the usual names."""
    names = [host.environment["CXX"]] if "CXX" in host.environment else ["g++", "clang++", "c++"]
    return next((os.path.basename(name) for name in names if shutil.which(name)), None)


def _meter_infos(host: Host, answer: Answer) -> tuple[MeterInfo, ...]:
    """What each meter would say in a run on the best backend of this machine."""
    meters: list[Meter] = open_meters(
        f"any-{_platform(host, answer)}",
        os.getpid(),
        root=host.root,
        describe=lambda: answer,
        environment=host.environment,
    )
    infos = tuple(meter.info() for meter in meters)
    for meter in meters:
        meter.close()
    return infos


def _platform(host: Host, answer: Answer) -> str:
    """The accelerator whose meters are looked for, as backends are named; `cpu` where none left a trace."""
    if host.system == "Darwin":
        return "mps"
    if answer.value is not None or driver_present(host.root):
        return "cuda"
    if amd.driver_present(host.root):
        return "rocm"
    return "tpu" if tpu.driver_present(host.root) else "cpu"
