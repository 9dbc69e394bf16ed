"""One phase of a run as a span of time."""

from __future__ import annotations

from oildrop.rules.records import Record


class PhaseSpan(Record):
    """One phase's first and last instant, in nanoseconds since the run's start."""

    name: str
    start_ns: int
    stop_ns: int
