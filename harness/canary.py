"""The canary: a small fixed piece of work, timed before and after a run. What it takes longer, the machine was slower.

On the processor it is a chain of hashes a usable processor: integers alone, nothing read from memory, no framework.
An accelerator's is in `devices/<framework>_facts.py`. It is never timed while the clock runs.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from oildrop.rules import keys

ITERATIONS = 5000
READINGS = 12
LIMIT_S = 0.5
"""No more readings are begun after this long, seconds; three are always taken."""

USUAL_COUNT = 20
"""How many earlier runs on this machine say what is usual."""
USUAL_LEAST = 3

HOST = "host"
DEVICE = "device"


class Log(Protocol):
    """Where an event goes: a worker's emitter, or the supervisor's recorder."""

    def __call__(self, key: str, value: Any = None, meta: dict[str, Any] | None = None) -> None:
        """One event."""


@dataclass(frozen=True, kw_only=True)
class Canary:
    """One look at the canary.

    Attributes:
        place: `host` or `device`.
        work: What one reading does; readings of the same work on one machine can be compared.
        readings_s: Seconds of each reading.
    """

    place: str
    work: str
    readings_s: tuple[float, ...]

    @property
    def median_s(self) -> float:
        """Median of the readings, seconds."""
        return statistics.median(self.readings_s)

    def log(self, log: Log, when: str, **more: Any) -> None:
        """One event: value the median, meta when and where it was taken."""
        meta = {"when": when, "place": self.place, "work": self.work, "readings_s": list(self.readings_s), **more}
        log(keys.CANARY, self.median_s, meta)


def read_host(threads: int, readings: int = READINGS) -> Canary:
    """The processor's canary: each of `threads` threads hashes, and a reading ends with the last of them."""
    work = f"PBKDF2-HMAC-SHA-256, {ITERATIONS} iterations in each of {threads} threads"
    hashing = partial(hashlib.pbkdf2_hmac, "sha256", b"oildrop", b"canary", ITERATIONS)
    with ThreadPoolExecutor(threads) as pool:

        def run() -> None:
            for future in [pool.submit(hashing) for _ in range(threads)]:
                future.result()

        return Canary(place=HOST, work=work, readings_s=_readings(run, readings))


def read_device(run: Callable[[], None], synchronize: Callable[[], None], work: str) -> Canary:
    """An accelerator's canary; both edges of a reading wait for the device."""

    def run_to_the_end() -> None:
        run()
        synchronize()

    synchronize()
    return Canary(place=DEVICE, work=work, readings_s=_readings(run_to_the_end, READINGS))


def _readings(run: Callable[[], None], count: int) -> tuple[float, ...]:
    """Seconds of each of `count` readings, fewer where they take long; one before them starts threads and compiles."""
    run()
    taken: list[float] = []
    end_s = time.perf_counter() + LIMIT_S
    while len(taken) < count and (len(taken) < 3 or time.perf_counter() < end_s):
        start_s = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start_s)
    return tuple(taken)


class UsualCanary:
    """What the canary took before earlier runs on this machine, kept in the store.

    Args:
        path: `canary.json` of the store.
        machine: The machine's `system_id`.
    """

    def __init__(self, path: Path, machine: str) -> None:
        self._path = path
        self._machine = machine

    def of(self, canary: Canary) -> dict[str, Any]:
        """`usual_s`, median over the earlier runs, and `usual_runs`, their count; {} before there are three."""
        known = self._known().get(self._name(canary), [])
        return {} if len(known) < USUAL_LEAST else {"usual_s": statistics.median(known), "usual_runs": len(known)}

    def note(self, canary: Canary) -> None:
        """Keep it for later runs. A store that cannot be written forgets it."""
        everything = self._known()
        name = self._name(canary)
        everything[name] = [*everything.get(name, []), canary.median_s][-USUAL_COUNT:]
        draft = self._path.with_suffix(f".{os.getpid()}.tmp")
        try:
            draft.write_text(json.dumps(everything, indent=2))
            os.replace(draft, self._path)
        except OSError:
            draft.unlink(missing_ok=True)

    def _name(self, canary: Canary) -> str:
        return f"{self._machine}: {canary.work}"

    def _known(self) -> dict[str, list[float]]:
        try:
            found = json.loads(self._path.read_text())
            return {str(name): _seconds(values) for name, values in found.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}


def _seconds(values: Sequence[Any]) -> list[float]:
    return [float(value) for value in values if float(value) > 0]
