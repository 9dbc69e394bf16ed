"""A run's marks, blocks, evaluations and phases, read out of its event log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from oildrop.rules import keys
from oildrop.rules.events import Event
from oildrop.rules.evidence import Evidence
from oildrop.rules.phases import PhaseSpan


@dataclass(frozen=True, kw_only=True)
class Block:
    """One timed block of steps; `samples_before` were consumed when it began."""

    start_ns: int
    stop_ns: int
    samples_before: int
    steps: int
    samples: int
    tokens: int
    loss: float

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return (self.stop_ns - self.start_ns) / 1e9


@dataclass(frozen=True, kw_only=True)
class EvaluationMark:
    """One evaluation as logged: after `samples` samples, with the worker's quality."""

    start_ns: int
    stop_ns: int
    samples: int
    quality: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """What happened when, in nanoseconds since the run's start.

    Attributes:
        end_ns: The last stamp in the log.
        malformed: One sentence for each event that lacks a number it should have.
    """

    run_start_ns: int | None
    run_stop_ns: int | None
    end_ns: int
    blocks: tuple[Block, ...]
    evaluations: tuple[EvaluationMark, ...]
    phases: tuple[PhaseSpan, ...]
    malformed: tuple[str, ...]

    @property
    def run_s(self) -> float | None:
        """From run_start to run_stop in seconds; None unless both were logged."""
        if self.run_start_ns is None or self.run_stop_ns is None:
            return None
        return (self.run_stop_ns - self.run_start_ns) / 1e9

    @property
    def block_s(self) -> float:
        """Total length of all blocks in seconds."""
        return sum(block.duration_s for block in self.blocks)


class _Malformed(Exception):
    """An event without a number that it should have."""


def timeline_of(evidence: Evidence) -> Timeline:
    """Read the timeline; what cannot be read is left out and named in `malformed`."""
    malformed: list[str] = []
    start, stop = evidence.first(keys.RUN_START), evidence.first(keys.RUN_STOP)
    end_ns = max((event.t_ns for event in evidence.events), default=0)
    return Timeline(
        run_start_ns=start.t_ns if start else None,
        run_stop_ns=stop.t_ns if stop else None,
        end_ns=end_ns,
        blocks=tuple(_blocks(evidence, malformed)),
        evaluations=tuple(_evaluations(evidence, malformed)),
        phases=tuple(_phases(evidence, end_ns)),
        malformed=tuple(malformed),
    )


def number(value: Any) -> float:
    """A logged number; NaN and infinity are logged by name. Raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r} is not a number")
    return float(value)


def _blocks(evidence: Evidence, malformed: list[str]) -> list[Block]:
    blocks = []
    for start, stop in zip(evidence.all(keys.BLOCK_START), evidence.all(keys.BLOCK_STOP), strict=False):
        try:
            blocks.append(
                Block(
                    start_ns=start.t_ns,
                    stop_ns=stop.t_ns,
                    samples_before=_count(start, "samples"),
                    steps=_count(stop, "steps"),
                    samples=_count(stop, "samples"),
                    tokens=_count(stop, "tokens"),
                    loss=_number_in(stop, "loss"),
                )
            )
        except _Malformed as error:
            malformed.append(str(error))
    return blocks


def _evaluations(evidence: Evidence, malformed: list[str]) -> list[EvaluationMark]:
    marks = []
    logged = (evidence.all(keys.EVAL_START), evidence.all(keys.EVAL_STOP), evidence.all(keys.EVAL_ACCURACY))
    for start, stop, result in zip(*logged, strict=False):
        try:
            marks.append(
                EvaluationMark(
                    start_ns=start.t_ns,
                    stop_ns=stop.t_ns,
                    samples=_count(result, "samples"),
                    quality=_value(result),
                    accuracy=_number_in(result, "accuracy"),
                )
            )
        except _Malformed as error:
            malformed.append(str(error))
    return marks


def _phases(evidence: Evidence, end_ns: int) -> list[PhaseSpan]:
    entered = [(str(event.value), event.t_ns) for event in evidence.all(keys.PHASE)]
    stops = [*(start for _, start in entered[1:]), end_ns] if entered else []
    return [
        PhaseSpan(name=name, start_ns=start, stop_ns=max(start, stop))
        for (name, start), stop in zip(entered, stops, strict=True)
    ]


def _count(event: Event, name: str) -> int:
    value = event.meta.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _Malformed(f"{event.key} (seq {event.seq}): {name} is {value!r}, not a count")
    return value


def _number_in(event: Event, name: str) -> float:
    try:
        return number(event.meta.get(name))
    except ValueError as error:
        raise _Malformed(f"{event.key} (seq {event.seq}): {name}: {error}") from error


def _value(event: Event) -> float:
    try:
        return number(event.value)
    except ValueError as error:
        raise _Malformed(f"{event.key} (seq {event.seq}): {error}") from error
