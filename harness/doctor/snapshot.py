"""Reads what the doctor judges: this machine at one moment."""

from __future__ import annotations

import math
import os
import shutil
import statistics
import sysconfig
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import psutil

from oildrop.harness.canary import read_host
from oildrop.harness.host_state import accelerators_now, free_bytes, host_state
from oildrop.harness.meters import amd, tpu
from oildrop.harness.meters.interface import Meter, MeterInfo
from oildrop.harness.meters.isolation import Answer
from oildrop.harness.meters.nvidia import describe_in_child, driver_present
from oildrop.harness.meters.open_meters import open_meters
from oildrop.harness.system.accelerators import read_accelerators
from oildrop.harness.system.cgroups import cpu_quota_cores, memory_limit_bytes
from oildrop.harness.system.cpu import read_cpu, usable_cores
from oildrop.harness.system.operating_system import detect_virtualisation
from oildrop.harness.system.pci import amd_power_caps
from oildrop.harness.system.software import framework_versions
from oildrop.harness.system.source import Gaps, Host, this_host
from oildrop.results.layout import StoreLayout
from oildrop.results.liveness import is_alive
from oildrop.rules.loading import load_rulebook

_CLOCK = "sys/devices/system/clocksource/clocksource0/current_clocksource"
_SHARED_MEMORY = "dev/shm"
_NODES = "sys/devices/system/node/node[0-9]*/cpulist"

CANARY_LOOKS = 6
CANARY_READINGS = 5
CANARY_GAP_S = 0.2
"""The canary is timed so often, each time as the median of so many readings, with so long a pause between."""


@dataclass(frozen=True, kw_only=True)
class AcceleratorNow:
    """An accelerator as its driver describes it now; None is unknown. Names as in `meters/nvidia_settings.py`."""

    model: str | None = None
    compute_processes: int | None = None
    power_limit_w: float | None = None
    default_power_limit_w: float | None = None
    throttle_bits: int | None = None
    temperature_celsius: float | None = None
    slowdown_celsius: float | None = None
    persistence_mode: bool | None = None
    ecc_mode: bool | None = None
    mig_mode: bool | None = None
    clock_offset_hz: float | None = None


@dataclass(frozen=True, kw_only=True)
class CanarySpread:
    """How far looks at the canary lie apart.

    Attributes:
        ratio: Largest over smallest.
        log_sd: Standard deviation of their logarithms.
        window_s: From the first to the last.
    """

    count: int
    ratio: float
    log_sd: float
    window_s: float


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What was read; None is unknown.

    Attributes:
        other_cpu_fraction: Share of all processors that other processes used during the look.
        steal_fraction: Stolen time over all processor time since boot.
        live_runs: Ids of runs of this store whose supervisor lives.
        numa_nodes: Memory nodes in which the processors lie that may be used.
        shared_memory_bytes: Free space of /dev/shm.
        wait_policy: What OMP_WAIT_POLICY says.
        unlisted: Models of processor and accelerators of which devices.toml lists no peak.
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
    frequency_driver: str | None
    on_battery: bool | None
    memory_available_bytes: int
    swap_used_bytes: int
    store_free_bytes: int | None
    throttle_count: int | None
    accelerators: tuple[AcceleratorNow, ...]
    canary: CanarySpread | None
    numa_nodes: int | None
    shared_memory_bytes: int | None
    wait_policy: str | None
    unlisted: tuple[str, ...]
    clock_source: str | None
    virtualisation: str | None
    steal_fraction: float | None
    frameworks: dict[str, str]
    cxx_compiler: str | None
    python_header: bool
    live_runs: tuple[str, ...]
    meters: tuple[MeterInfo, ...]


def take_snapshot(store_root: Path, host: Host | None = None) -> Snapshot:
    """Look at this machine; takes some seconds."""
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
        frequency_driver=state["frequency_driver"],
        on_battery=state["on_battery"],
        memory_available_bytes=_available_bytes(host, state["memory_available_bytes"]),
        swap_used_bytes=state["swap_used_bytes"],
        store_free_bytes=state["store_free_bytes"],
        throttle_count=state["throttle_count"],
        accelerators=_accelerators(host, answer),
        canary=spread_of(*_canaries(usable_cores(host))),
        numa_nodes=numa_nodes(host, os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None),
        shared_memory_bytes=free_bytes(host.root / _SHARED_MEMORY) if host.exists(_SHARED_MEMORY) else None,
        wait_policy=host.environment.get("OMP_WAIT_POLICY"),
        unlisted=_unlisted(host, answer),
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


def numa_nodes(host: Host, usable: Collection[int] | None) -> int | None:
    """Memory nodes that hold at least one of the processors in `usable` (all where None); None where none is shown."""
    nodes = [_listed(host.text(path) or "") for path in host.matches(_NODES)]
    held = [node for node in nodes if node and (usable is None or node & set(usable))]
    return len(held) or None


def _listed(text: str) -> set[int]:
    """The numbers of a kernel list such as `0-3,8`."""
    ranges = [part.partition("-") for part in text.split(",") if part]
    return {number for first, _, last in ranges for number in range(int(first), int(last or first) + 1)}


def spread_of(looks_s: Sequence[float], window_s: float) -> CanarySpread:
    """How far apart looks at the canary lie, taken within `window_s` seconds."""
    return CanarySpread(
        count=len(looks_s),
        ratio=max(looks_s) / min(looks_s),
        log_sd=statistics.stdev(math.log(seconds) for seconds in looks_s),
        window_s=window_s,
    )


def _canaries(threads: int) -> tuple[list[float], float]:
    start_s, looks = time.monotonic(), []
    for _ in range(CANARY_LOOKS):
        looks.append(read_host(threads, CANARY_READINGS).median_s)
        time.sleep(CANARY_GAP_S)
    return looks, time.monotonic() - start_s


def _accelerators(host: Host, answer: Answer) -> tuple[AcceleratorNow, ...]:
    """NVIDIA's by the answer of its library, AMD's by the kernel's files."""
    if answer.value is not None:
        known = {field.name for field in fields(AcceleratorNow)}
        devices = answer.value["devices"]
        return tuple(AcceleratorNow(**{name: d[name] for name in known & d.keys()}) for d in devices)
    processes = accelerators_now(host, lambda: answer)["accelerator_processes"]
    return tuple(
        AcceleratorNow(
            compute_processes=processes,
            power_limit_w=caps["power_limit_w"],
            default_power_limit_w=caps["default_power_limit_w"],
        )
        for caps in amd_power_caps(host)
    )


def _unlisted(host: Host, answer: Answer) -> tuple[str, ...]:
    accelerators, _ = read_accelerators(host, "", Gaps(), describe=lambda: answer)
    models = [read_cpu(host, Gaps()).model, *(accelerator.model for accelerator in accelerators)]
    rulebook = load_rulebook()
    return tuple(sorted({model for model in models if model is not None and rulebook.peaks_of(model) is None}))


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
