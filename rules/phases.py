"""One phase of a run as a span of time."""

from __future__ import annotations

from oildrop.rules.records import Record

IDLE = "idle"
"""Phase before the worker is started and after it has ended, in which only meters are at work."""


class PhaseSpan(Record):
    """One phase's first and last instant, in nanoseconds since the run's start."""

    name: str
    start_ns: int
    stop_ns: int
