"""The host's clocks behind one small interface, and the check that they agree.

All stamps of a run are of the monotonic clock, which the supervisor and its worker share on one
host. The wall clock only dates them; the boot-time clock, which goes on while the machine sleeps,
shows a suspend.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

STEP_LIMIT_NS = 500_000_000
"""A wall clock that moves by more than this against the monotonic one was set, not slewed."""


class Clock(Protocol):
    """Three clocks, each in nanoseconds."""

    def monotonic_ns(self) -> int:
        """Never set, never goes back; may stand still while the machine sleeps."""

    def boottime_ns(self) -> int:
        """As the monotonic clock, sleep included; equal to it where the system has none."""

    def wall_ns(self) -> int:
        """Nanoseconds since 1970 UTC; may be set by hand."""


class HostClock:
    """The clocks of this machine."""

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def boottime_ns(self) -> int:
        if hasattr(time, "CLOCK_BOOTTIME"):
            return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return time.monotonic_ns()

    def wall_ns(self) -> int:
        return time.time_ns()


@dataclass(frozen=True, kw_only=True)
class ClockBreak:
    """One disagreement between clocks: `suspend`, `set_back` or `set_forward`, by how many seconds."""

    kind: str
    by_s: float


class RunClock:
    """Time since a run's start, and what went wrong with the clocks meanwhile."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.start_ns = clock.monotonic_ns()
        self._wall_offset_ns = clock.wall_ns() - self.start_ns
        self._boot_offset_ns = clock.boottime_ns() - self.start_ns

    def now_ns(self) -> int:
        """Nanoseconds since the run's start."""
        return self._clock.monotonic_ns() - self.start_ns

    def utc(self, t_ns: int) -> str:
        """Wall-clock time of instant `t_ns` of this run, as the wall clock stands now."""
        wall_ns = self._clock.wall_ns() - (self.now_ns() - t_ns)
        return iso_utc(wall_ns)

    def breaks(self) -> list[ClockBreak]:
        """Suspends and settings of the wall clock since the last call, each reported once."""
        found = []
        monotonic_ns = self._clock.monotonic_ns()
        slept_ns = self._clock.boottime_ns() - monotonic_ns - self._boot_offset_ns
        if slept_ns > STEP_LIMIT_NS:
            self._boot_offset_ns += slept_ns
            found.append(ClockBreak(kind="suspend", by_s=slept_ns / 1e9))
        moved_ns = self._clock.wall_ns() - monotonic_ns - self._wall_offset_ns
        if abs(moved_ns) > STEP_LIMIT_NS:
            self._wall_offset_ns += moved_ns
            kind = "set_back" if moved_ns < 0 else "set_forward"
            if not (found and kind == "set_forward"):
                found.append(ClockBreak(kind=kind, by_s=abs(moved_ns) / 1e9))
        return found


def iso_utc(wall_ns: int) -> str:
    """ISO 8601 in UTC with microseconds, ending in Z."""
    moment = datetime.fromtimestamp(wall_ns // 1_000_000_000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{wall_ns % 1_000_000_000 // 1000:06d}Z"
