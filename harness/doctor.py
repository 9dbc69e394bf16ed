"""What would spoil a run on this machine: `examine` takes a snapshot and judges it.

Judging is pure; `doctor_snapshot` does the reading.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from oildrop.harness.doctor_snapshot import Snapshot, take_snapshot
from oildrop.harness.meters.interface import MeterInfo
from oildrop.rules.records import Record

GIB = 2**30

OTHER_CPU_WARN = 0.1
"""Share of the processors in other hands from which timings suffer."""
OTHER_CPU_BAD = 0.5
STEAL_WARN = 0.02
MIN_CORES = 2
MIN_DISK_BYTES = GIB
MIN_MEMORY_BYTES = 2 * GIB
SAVING_GOVERNORS = frozenset({"powersave", "conservative"})
SLOW_CLOCKS = frozenset({"hpet", "acpi_pm", "jiffies", "refined-jiffies", "pit"})
"""Clock sources that cost a microsecond or more a reading, or tick in milliseconds."""

Status = Literal["good", "warn", "bad", "unknown"]


class Advice(Record):
    """One thing looked at.

    Attributes:
        id: Stable name, such as `cpu-load`.
        what: The judgement in one sentence.
        evidence: What was read, with units.
        fix: What to do; empty when nothing need be done.
    """

    id: str
    status: Status
    what: str
    evidence: str
    fix: str = ""


def examine(store_root: Path) -> list[Advice]:
    """All advice for a run that would be kept in `store_root`."""
    return advise(take_snapshot(store_root))


def advise(snapshot: Snapshot) -> list[Advice]:
    """Judge a snapshot; the order is fixed."""
    single = [check(snapshot) for check in CHECKS]
    return [*single, *_meters(snapshot)]


def _cpu_load(s: Snapshot) -> Advice:
    share = s.other_cpu_fraction
    evidence = f"other processes use {share:.0%} of {s.logical_cores} processors; {s.heavy_processes} of them heavily"
    if share < OTHER_CPU_WARN:
        return Advice(id="cpu-load", status="good", what="The machine is idle.", evidence=evidence)
    return Advice(
        id="cpu-load",
        status="bad" if share > OTHER_CPU_BAD else "warn",
        what="Other programs share the processors: runs will be slower and scatter more.",
        evidence=evidence,
        fix="Stop them, or wait until they end.",
    )


def _cores(s: Snapshot) -> Advice:
    evidence = f"{s.usable_cores} of {s.logical_cores} logical processors may be used"
    if s.usable_cores < MIN_CORES:
        return Advice(
            id="cores",
            status="warn",
            what=f"Fewer than {MIN_CORES} processors: the supervisor and its meters take time from the worker.",
            evidence=evidence,
            fix="Widen the affinity (`taskset`) or give the container or virtual machine more processors.",
        )
    return Advice(id="cores", status="good", what="Worker and supervisor have a processor each.", evidence=evidence)


def _cpu_quota(s: Snapshot) -> Advice:
    if s.cpu_quota_cores is None:
        return Advice(id="cpu-quota", status="good", what="No processor quota holds.", evidence="no cgroup sets one")
    evidence = f"the cgroup allows {s.cpu_quota_cores:g} processors' time on {s.logical_cores} processors"
    if s.cpu_quota_cores >= s.logical_cores:
        return Advice(id="cpu-quota", status="good", what="The processor quota does not bind.", evidence=evidence)
    return Advice(
        id="cpu-quota",
        status="warn",
        what="A processor quota stops all threads for part of each period: step times will scatter.",
        evidence=evidence,
        fix="Start the container with whole processors (`--cpuset-cpus`) in place of a quota (`--cpus`).",
    )


def _governor(s: Snapshot) -> Advice:
    if s.governor is None:
        return Advice(
            id="governor", status="unknown", what="The frequency governor cannot be seen.", evidence="no cpufreq files"
        )
    if SAVING_GOVERNORS & set(s.governor.split("+")) and not s.governor_is_adaptive:
        return Advice(
            id="governor",
            status="warn",
            what="The processor saves power: frequency rises late or not at all.",
            evidence=f"governor {s.governor}",
            fix="sudo cpupower frequency-set -g performance",
        )
    evidence = f"governor {s.governor}"
    return Advice(id="governor", status="good", what="The governor lets the frequency rise.", evidence=evidence)


def _battery(s: Snapshot) -> Advice:
    if s.on_battery is None:
        return Advice(
            id="battery", status="unknown", what="Whether the machine is on mains is not known.", evidence="no sensor"
        )
    if s.on_battery:
        return Advice(
            id="battery",
            status="bad",
            what="The machine runs on battery: most lower their clocks then.",
            evidence="not plugged in",
            fix="Plug it in.",
        )
    return Advice(id="battery", status="good", what="The machine is on mains.", evidence="plugged in or no battery")


def _swap(s: Snapshot) -> Advice:
    if s.swap_used_bytes > 0:
        return Advice(
            id="swap",
            status="warn",
            what="Swap is in use: pages may have to be read back while the clock runs.",
            evidence=f"{_gib(s.swap_used_bytes)} swapped out",
            fix="Close programs, then `sudo swapoff -a && sudo swapon -a`.",
        )
    return Advice(id="swap", status="good", what="Nothing is swapped out.", evidence="0 bytes of swap in use")


def _memory(s: Snapshot) -> Advice:
    evidence = f"{_gib(s.memory_available_bytes)} available"
    if s.memory_available_bytes < MIN_MEMORY_BYTES:
        return Advice(
            id="memory",
            status="bad",
            what=f"Less than {_gib(MIN_MEMORY_BYTES)} of memory is free: runs may end as oom.",
            evidence=evidence,
            fix="Close programs or raise the container's memory limit.",
        )
    return Advice(id="memory", status="good", what="There is memory enough.", evidence=evidence)


def _disk(s: Snapshot) -> Advice:
    if s.store_free_bytes is None:
        return Advice(
            id="disk",
            status="unknown",
            what="The free space of the store's disk cannot be read.",
            evidence="the system gave no answer",
            fix="Choose another folder with --store.",
        )
    evidence = f"{_gib(s.store_free_bytes)} free where the store lies"
    if s.store_free_bytes < MIN_DISK_BYTES:
        return Advice(
            id="disk",
            status="bad",
            what=f"Less than {_gib(MIN_DISK_BYTES)} is free: a run may end as crash, disk_full.",
            evidence=evidence,
            fix="Free space, or choose another folder with --store.",
        )
    return Advice(id="disk", status="good", what="The store has space.", evidence=evidence)


def _framework(s: Snapshot) -> Advice:
    if not s.frameworks:
        return Advice(
            id="framework",
            status="bad",
            what="No framework is installed: every backend is unsupported.",
            evidence="neither torch nor jax nor mlx is installed",
            fix='pip install "oildrop[torch]"',
        )
    evidence = ", ".join(f"{name} {version}" for name, version in s.frameworks.items())
    return Advice(id="framework", status="good", what="A framework is installed.", evidence=evidence)


def _compiler(s: Snapshot) -> Advice:
    lacking = [name for name, path in (("a C++ compiler", s.cxx_compiler), ("Python.h", s.python_header)) if not path]
    if lacking:
        return Advice(
            id="compiler",
            status="warn",
            what=f"torch.compile needs {' and '.join(lacking)}: compiled settings will end as unsupported or crash.",
            evidence=f"compiler: {s.cxx_compiler or 'none'}; Python.h: {'there' if s.python_header else 'absent'}",
            fix="sudo apt install g++ python3-dev (Debian, Ubuntu), or your system's packages of that kind.",
        )
    evidence = f"compiler: {s.cxx_compiler}; Python.h: there"
    return Advice(id="compiler", status="good", what="torch.compile can build on the CPU.", evidence=evidence)


def _clock_source(s: Snapshot) -> Advice:
    if s.clock_source is None:
        return Advice(
            id="clock-source",
            status="unknown",
            what="The kernel does not show its clock source.",
            evidence="no clocksource file",
        )
    if s.clock_source in SLOW_CLOCKS:
        return Advice(
            id="clock-source",
            status="warn",
            what="The kernel's clock is slow to read: the harness costs more a step.",
            evidence=f"clock source {s.clock_source}",
            fix="Find out why the kernel gave up tsc (`dmesg | grep -i clocksource`); often a firmware setting.",
        )
    evidence = f"clock source {s.clock_source}"
    return Advice(id="clock-source", status="good", what="The kernel's clock is cheap to read.", evidence=evidence)


def _virtualisation(s: Snapshot) -> Advice:
    if s.virtualisation is None:
        return Advice(
            id="virtualisation",
            status="unknown",
            what="Whether this is a virtual machine is not known.",
            evidence="nothing tells",
        )
    evidence = f"virtualisation {s.virtualisation}"
    if s.steal_fraction is not None:
        evidence += f"; {s.steal_fraction:.1%} of processor time stolen since boot"
        if s.steal_fraction > STEAL_WARN:
            return Advice(
                id="virtualisation",
                status="warn",
                what="The hypervisor takes processor time away: timings scatter with its other guests.",
                evidence=evidence,
                fix="Use an instance with dedicated processors, or run when the host is quiet.",
            )
    return Advice(id="virtualisation", status="good", what="The processors are not taken away.", evidence=evidence)


def _other_run(s: Snapshot) -> Advice:
    if s.live_runs:
        return Advice(
            id="other-run",
            status="bad",
            what="Another run of this store is going on: both would be flagged.",
            evidence=", ".join(s.live_runs),
            fix="Wait until it ends.",
        )
    return Advice(id="other-run", status="good", what="No other run is going on.", evidence="no lock is held")


def _throttling(s: Snapshot) -> Advice:
    if s.throttle_count is None:
        return Advice(
            id="throttling", status="unknown", what="Thermal throttling is not counted.", evidence="no counter files"
        )
    if s.throttle_count > 0:
        return Advice(
            id="throttling",
            status="warn",
            what="The processor has been throttled for heat since it was started.",
            evidence=f"{s.throttle_count} events",
            fix="Let it cool; clean or strengthen its cooling if later runs are flagged for throttling.",
        )
    return Advice(id="throttling", status="good", what="The processor was never throttled.", evidence="0 events")


def _accelerator_use(s: Snapshot) -> Advice:
    if s.accelerator_processes is None:
        return Advice(
            id="accelerator-use",
            status="unknown",
            what="Whether others use an accelerator is not known.",
            evidence="no accelerator that can be asked",
        )
    if s.accelerator_processes > 0:
        return Advice(
            id="accelerator-use",
            status="warn",
            what="Other programs compute on an accelerator.",
            evidence=f"{s.accelerator_processes} compute processes",
            fix="Stop them, or choose a free device with CUDA_VISIBLE_DEVICES.",
        )
    evidence = "0 compute processes"
    return Advice(id="accelerator-use", status="good", what="The accelerators are free.", evidence=evidence)


def _meters(s: Snapshot) -> list[Advice]:
    """One advice a meter; a silent one costs metrics, not the run."""
    return [_meter(meter) for meter in s.meters]


def _meter(meter: MeterInfo) -> Advice:
    name = f"meter-{meter.name}" + (f"-{meter.device}" if meter.device else "")
    if meter.status != "not_measured":
        return Advice(
            id=name, status="good", what=f"The {meter.name} meter answers.", evidence=meter.method or "it answers"
        )
    if meter.name == "energy":
        return Advice(
            id=name,
            status="warn",
            what="Nothing measures energy or power here: those metrics will be not_measured.",
            evidence=meter.reason or "",
            fix="Enable one of the meters above where the machine has it.",
        )
    evidence, _, fix = (meter.reason or "").partition("; ")
    return Advice(id=name, status="warn", what=f"The {meter.name} meter does not measure.", evidence=evidence, fix=fix)


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / GIB:.2f} GiB"


CHECKS: tuple[Callable[[Snapshot], Advice], ...] = (
    _framework, _other_run, _cpu_load, _cores, _cpu_quota, _governor, _battery, _memory, _swap, _disk, _virtualisation,
    _throttling, _accelerator_use, _clock_source, _compiler,
)  # fmt: skip
