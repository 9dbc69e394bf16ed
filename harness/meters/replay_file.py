"""A recorded trace in place of a meter, named by $OILDROP_REPLAY: for tests and demonstrations, never a measurement.

What it gives is `modelled`, its method says that it is a replay, rule R067 finds it, and no such run is ranked.
"""

from __future__ import annotations

import json
import math
import os
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from oildrop.harness.meters.empty import EmptyMeter
from oildrop.harness.meters.interface import Meter, MeterError, MeterInfo, Reading
from oildrop.rules.meter_words import REPLAY

FILES = "OILDROP_REPLAY"
"""Files of recorded traces, separated as in PATH."""

SCHEMA = "oildrop.replay/1"
SCOPES = ("device", "package", "soc", "node", "wall")
QUANTITIES = ("power_w", "energy_j")


class TracePlayer:
    """Meter `replay`: the trace's values at the time since its opening, on straight lines between its points.

    Args:
        head: The trace's first line: `device`, `scope`, and `update_period_s` where it is known.
        points: The others: `t_s`, and `power_w`, `energy_j` or both in every one; `t_s` increases.
    """

    def __init__(
        self, head: Mapping[str, Any], points: Sequence[Mapping[str, float]], clock: Callable[[], float]
    ) -> None:
        self._head, self._points, self._clock = head, points, clock
        self._times = [point["t_s"] for point in points]
        self._opened_s = clock()

    def info(self) -> MeterInfo:
        """Never `measured`."""
        return MeterInfo(
            name=REPLAY,
            status="modelled",
            scope=self._head["scope"],
            method="replay of a recorded trace: no meter of this machine",
            device=self._head["device"],
            update_period_s=self._head.get("update_period_s"),
        )

    def sample(self) -> Sequence[Reading]:
        """Values of this moment. Raises MeterError before the trace's first and after its last point."""
        t_s = self._clock() - self._opened_s
        after = bisect_left(self._times, t_s)
        if after == len(self._times):
            raise MeterError(f"the recorded trace has ended after {self._times[-1]:g} s")
        first, second = self._points[max(0, after - 1)], self._points[after]
        span_s = second["t_s"] - first["t_s"]
        share = (t_s - first["t_s"]) / span_s if span_s else 0.0
        return [
            Reading(name, self._head["device"], self._head["scope"], first[name] + share * (second[name] - first[name]))
            for name in QUANTITIES
            if name in first
        ]

    def close(self) -> None:
        """Nothing to let go."""


def open_replays(environment: Mapping[str, str], clock: Callable[[], float] = time.monotonic) -> list[Meter]:
    """A player of each file that $OILDROP_REPLAY names, or an empty meter with the reason."""
    return [_open(Path(name), clock) for name in environment.get(FILES, "").split(os.pathsep) if name]


def _open(path: Path, clock: Callable[[], float]) -> Meter:
    try:
        return TracePlayer(*read_trace(path), clock)
    except MeterError as error:
        return EmptyMeter(REPLAY, str(error))


def read_trace(path: Path) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """Head and points of a trace in JSON Lines. Raises MeterError that names file, line and what it must hold."""
    what = f"the trace {path.name}"
    try:
        lines = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    except OSError as error:
        raise MeterError(f"{what} cannot be read ({error.strerror or error}); {FILES} names it") from error
    except ValueError as error:
        raise MeterError(f"{what} is not JSON Lines ({error})") from error
    if not all(isinstance(line, dict) for line in lines) or not lines or lines[0].get("schema") != SCHEMA:
        raise MeterError(f'{what} must begin with {{"schema": "{SCHEMA}", "device": …, "scope": …}}')
    head, *points = lines
    if head.get("scope") not in SCOPES or not isinstance(head.get("device"), str):
        raise MeterError(
            f"{what}: scope is {head.get('scope')!r}, it must be one of {', '.join(SCOPES)}, with a device"
        )
    _check(what, points)
    return head, points


def _check(what: str, points: Sequence[Mapping[str, Any]]) -> None:
    """Two points at least, of the same quantities, in order of time and from 0."""
    if len(points) < 2:
        raise MeterError(f"{what} has {len(points)} points, it must have 2")
    names = set(points[0])
    if "t_s" not in names or not names & set(QUANTITIES) or not names <= {"t_s", *QUANTITIES}:
        raise MeterError(f"{what} holds {', '.join(sorted(names))}; a point holds t_s and {' or '.join(QUANTITIES)}")
    for number, point in enumerate(points, 2):
        if set(point) != names or not all(_finite(value) for value in point.values()):
            raise MeterError(f"{what}, line {number}: {dict(point)!r} must hold finite {', '.join(sorted(names))}")
    times = [point["t_s"] for point in points]
    if times[0] != 0 or times != sorted(set(times)):
        raise MeterError(f"{what}: t_s must begin at 0 and increase")


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
