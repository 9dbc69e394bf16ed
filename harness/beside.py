"""Two runs at once: their workers start their clocks together, and each log learns when the other's clock ran.

Both supervisors are threads of one process on one host, so all stamps are of one monotonic clock: the offset between
the two runs is known to that clock's resolution.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from oildrop.harness.clock import RunClock
from oildrop.harness.ending import Ending
from oildrop.rules import keys

POLL_S = 0.002
"""How often a worker looks whether the other is ready: the two clocks start within about this."""
LOOK_S = 0.1
NEWS_WAIT_S = 3.0
"""How long a run that has ended waits to hear whether the other's clock has stopped too."""
NEWS_MARGIN_NS = 1_500_000_000
"""A worker hands events over every second: what it has not told by this after an instant had not happened by then."""


class Asked(Protocol):
    """Who knows whether somebody asked for an end."""

    @property
    def asked_by(self) -> str | None:
        """Who it was; None: nobody."""


class Together:
    """What both supervisors know: signals, marks of either clock, who has ended. Safe between their threads.

    Args:
        folder: An empty folder in which the workers meet.
    """

    def __init__(self, folder: Path, interrupts: Asked) -> None:
        self.folder = folder
        self.interrupts = interrupts
        self.changed = threading.Condition()
        self.marks_ns: dict[tuple[str, str], int] = {}
        self.heard_ns: dict[str, int] = {}
        self.endings: dict[str, Ending] = {}

    def side(self, run_id: str, other_id: str) -> Beside:
        """The view of one of the two."""
        return Beside(self, run_id, other_id)


class Beside:
    """One run's view of the run beside it; stands for `Interrupts` in its supervisor."""

    def __init__(self, together: Together, run_id: str, other_id: str) -> None:
        self._together = together
        self._run_id = run_id
        self._other_id = other_id

    @property
    def asked_by(self) -> str | None:
        """The signal that asked for an end, else the other run, where that ended before its clock had stopped."""
        if self._together.interrupts.asked_by is not None:
            return self._together.interrupts.asked_by
        ending = self._together.endings.get(self._other_id)
        if ending is None or self._mark(self._other_id, keys.RUN_STOP) is not None:
            return None
        why = f": {ending.reason}" if ending.reason else ""
        return f"the run beside it, {self._other_id}, which ended as {ending.outcome}{why}"

    def orders(self) -> tuple[str, str]:
        """What the worker is told: where to meet the other's."""
        return "--meet", str(self._together.folder)

    def heard(self, key: str, monotonic_ns: int) -> None:
        """This run's worker said something, stamped with the host's monotonic clock."""
        with self._together.changed:
            self._together.heard_ns[self._run_id] = monotonic_ns
            if key in (keys.RUN_START, keys.RUN_STOP):
                self._together.marks_ns[self._run_id, key] = monotonic_ns
            self._together.changed.notify_all()

    def ended(self, ending: Ending) -> None:
        """This run is over."""
        with self._together.changed:
            self._together.endings[self._run_id] = ending
            self._together.changed.notify_all()

    def seen(self, clock: RunClock) -> tuple[str, dict[str, Any]]:
        """Value and meta of the event that says when the other's clock ran, on this run's own clock.

        Waits a moment for news of the other where this run's clock has stopped and its own has not.
        """
        with self._together.changed:
            until_s = time.monotonic() + NEWS_WAIT_S
            while not self._is_settled() and time.monotonic() < until_s:
                self._together.changed.wait(LOOK_S)
            ending = self._together.endings.get(self._other_id)
            marks = {
                f"{key}_ns": None if at_ns is None else at_ns - clock.start_ns
                for key in (keys.RUN_START, keys.RUN_STOP)
                for at_ns in (self._mark(self._other_id, key),)
            }
        bound_ns = math.ceil(time.get_clock_info("monotonic").resolution * 1e9)
        return self._other_id, {
            **marks,
            "outcome": None if ending is None else ending.outcome,
            "clock_bound_ns": bound_ns,
        }

    def _is_settled(self) -> bool:
        stop_ns = self._mark(self._run_id, keys.RUN_STOP)
        return (
            stop_ns is None
            or self._mark(self._other_id, keys.RUN_STOP) is not None
            or self._other_id in self._together.endings
            or self._together.heard_ns.get(self._other_id, 0) >= stop_ns + NEWS_MARGIN_NS
            or self._together.interrupts.asked_by is not None
        )

    def _mark(self, run_id: str, key: str) -> int | None:
        return self._together.marks_ns.get((run_id, key))


def meet(folder: Path, run_id: str, sleep: Callable[[float], None] = time.sleep) -> float:
    """Wait in a worker until the other's is ready too; returns the seconds that this took.

    Its supervisor ends a worker that waits for one that will never come.
    """
    began_s = time.monotonic()
    (folder / run_id).touch()
    while sum(1 for _ in folder.iterdir()) < 2:
        sleep(POLL_S)
    return time.monotonic() - began_s
