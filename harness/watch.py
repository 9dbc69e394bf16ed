"""When a run is over from outside: deadline, silence, no progress, too much memory. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from oildrop.rules.records import Limits

TIMED_PHASES = frozenset({"train", "eval", "serve", "calibrate"})
"""Phases in which the worker's progress counter must move."""


@dataclass(frozen=True, kw_only=True)
class Breach:
    """A limit that was passed: which, the limit and the value found, in `unit`."""

    limit: str
    outcome: str
    allowed: float
    found: float
    unit: str

    @property
    def reason(self) -> str:
        """One sentence: what was passed and by what."""
        words = {
            "deadline": "the deadline passed",
            "heartbeat": "no heartbeat from the worker",
            "stall": "the worker made no progress",
            "memory": "the worker used more memory than --memory-limit",
        }[self.limit]
        if self.unit == "bytes":
            return f"{words}: {self.found / 2**20:.0f} MiB of {self.allowed / 2**20:.0f} MiB"
        return f"{words}: {self.found:.1f} s of {self.allowed:g} s"


class Watch:
    """What a supervisor knows of its worker, fed by messages and samples; times are since the run's start."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._heard_ns = 0
        self._moved_ns = 0
        self._progress = 0
        self._phase = "probe"
        self._memory_bytes = 0

    def heard(self, now_ns: int) -> None:
        """The worker said something."""
        self._heard_ns = now_ns

    def entered(self, phase: str, now_ns: int) -> None:
        """The worker began `phase`."""
        self._phase = phase
        self._moved_ns = now_ns

    def progressed(self, progress: int, now_ns: int) -> None:
        """The worker's step counter stands at `progress`."""
        if progress != self._progress:
            self._progress = progress
            self._moved_ns = now_ns

    def used(self, memory_bytes: int) -> None:
        """The worker and its children hold `memory_bytes` of resident memory."""
        self._memory_bytes = memory_bytes

    def breach(self, now_ns: int) -> Breach | None:
        """The first limit that is passed at `now_ns`, or None."""
        limits = self._limits
        silent_s = (now_ns - self._heard_ns) / 1e9
        still_s = (now_ns - self._moved_ns) / 1e9 if self._phase in TIMED_PHASES else 0.0
        for limit, found, allowed in (
            ("deadline", now_ns / 1e9, limits.deadline_s),
            ("heartbeat", silent_s, limits.heartbeat_s),
            ("stall", still_s, limits.stall_s),
        ):
            if found > allowed:
                return Breach(limit=limit, outcome="timeout", allowed=allowed, found=found, unit="s")
        if limits.memory_bytes is not None and self._memory_bytes > limits.memory_bytes:
            return Breach(
                limit="memory", outcome="oom", allowed=limits.memory_bytes, found=self._memory_bytes, unit="bytes"
            )
        return None
