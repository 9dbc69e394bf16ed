"""What surrounds a run: software, store, memory, other runs, the kernel's clock, power supply."""

from __future__ import annotations

from oildrop.harness.doctor.point import Point, Trouble
from oildrop.harness.doctor.snapshot import Snapshot

GIB = 2**30
MIN_DISK_BYTES = GIB
MIN_MEMORY_BYTES = 2 * GIB
MIN_SHARED_MEMORY_BYTES = GIB // 4
SLOW_CLOCKS = frozenset({"hpet", "acpi_pm", "jiffies", "refined-jiffies", "pit"})
"""Clock sources that cost a microsecond or more a reading, or tick in milliseconds."""


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / GIB:.2f} GiB"


def _supply(s: Snapshot) -> str | None:
    return None if s.on_battery is None else "not plugged in" if s.on_battery else "plugged in or no battery"


HOST_POINTS = (
    Point(
        id="framework",
        evidence=lambda s: (
            ", ".join(f"{name} {version}" for name, version in s.frameworks.items())
            or "neither torch nor jax nor mlx is installed"
        ),
        good="A framework is installed.",
        troubles=(
            Trouble(
                holds=lambda s: not s.frameworks,
                status="bad",
                what="No framework is installed: every backend is unsupported.",
                fix='pip install "oildrop[torch]"',
            ),
        ),
    ),
    Point(
        id="other-run",
        evidence=lambda s: ", ".join(s.live_runs) or "no lock is held",
        good="No other run is going on.",
        troubles=(
            Trouble(
                holds=lambda s: bool(s.live_runs),
                status="bad",
                what="Another run of this store is going on: both would be flagged.",
                fix="Wait until it ends.",
            ),
        ),
    ),
    Point(
        id="memory",
        evidence=lambda s: f"{_gib(s.memory_available_bytes)} available",
        good="There is memory enough.",
        troubles=(
            Trouble(
                holds=lambda s: s.memory_available_bytes < MIN_MEMORY_BYTES,
                status="bad",
                what=f"Less than {_gib(MIN_MEMORY_BYTES)} of memory is free: runs may end as oom.",
                fix="Close programs or raise the container's memory limit.",
            ),
        ),
    ),
    Point(
        id="shared-memory",
        evidence=lambda s: None if s.shared_memory_bytes is None else f"{_gib(s.shared_memory_bytes)} free in /dev/shm",
        good="Processes can share memory.",
        troubles=(
            Trouble(
                holds=lambda s: (s.shared_memory_bytes or 0) < MIN_SHARED_MEMORY_BYTES,
                what="Little memory can be shared: runs on several devices may crash.",
                fix="Start the container with `--shm-size=8g` or `--ipc=host`.",
            ),
        ),
        unread=("Whether processes can share memory is not known.", "no /dev/shm", ""),
    ),
    Point(
        id="swap",
        evidence=lambda s: f"{_gib(s.swap_used_bytes)} swapped out" if s.swap_used_bytes else "0 bytes of swap in use",
        good="Nothing is swapped out.",
        troubles=(
            Trouble(
                holds=lambda s: s.swap_used_bytes > 0,
                what="Swap is in use: pages may have to be read back while the clock runs.",
                fix="Close programs, then `sudo swapoff -a && sudo swapon -a`.",
            ),
        ),
    ),
    Point(
        id="disk",
        evidence=lambda s: (
            None if s.store_free_bytes is None else f"{_gib(s.store_free_bytes)} free where the store lies"
        ),
        good="The store has space.",
        troubles=(
            Trouble(
                holds=lambda s: (s.store_free_bytes or 0) < MIN_DISK_BYTES,
                status="bad",
                what=f"Less than {_gib(MIN_DISK_BYTES)} is free: a run may end as crash, disk_full.",
                fix="Free space, or choose another folder with --store.",
            ),
        ),
        unread=(
            "The free space of the store's disk cannot be read.",
            "the system gave no answer",
            "Choose another folder with --store.",
        ),
    ),
    Point(
        id="battery",
        evidence=_supply,
        good="The machine is on mains.",
        troubles=(
            Trouble(
                holds=lambda s: bool(s.on_battery),
                status="bad",
                what="The machine runs on battery: most lower their clocks then.",
                fix="Plug it in.",
            ),
        ),
        unread=("Whether the machine is on mains is not known.", "no sensor", ""),
    ),
    Point(
        id="clock-source",
        evidence=lambda s: s.clock_source and f"clock source {s.clock_source}",
        good="The kernel's clock is cheap to read.",
        troubles=(
            Trouble(
                holds=lambda s: s.clock_source in SLOW_CLOCKS,
                what="The kernel's clock is slow to read: the harness costs more a step.",
                fix="Find out why the kernel gave up tsc (`dmesg | grep -i clocksource`); often a firmware setting.",
            ),
        ),
        unread=("The kernel does not show its clock source.", "no clocksource file", ""),
    ),
    Point(
        id="compiler",
        evidence=lambda s: (
            f"compiler: {s.cxx_compiler or 'none'}; Python.h: {'there' if s.python_header else 'absent'}"
        ),
        good="torch.compile can build on the CPU.",
        troubles=(
            Trouble(
                holds=lambda s: not (s.cxx_compiler and s.python_header),
                what="torch.compile lacks what it builds with: compiled settings will end as unsupported or crash.",
                fix="sudo apt install g++ python3-dev (Debian, Ubuntu), or your system's packages of that kind.",
            ),
        ),
    ),
)
