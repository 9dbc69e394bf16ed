"""A run's marks, blocks, evaluations, phases and restarts, read out of its event log.

A crash throws away what was trained since the last checkpoint. Blocks and evaluations after it are left out of the
timeline, the time that they took is not: the clock runs on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from oildrop.rules import keys
from oildrop.rules.events import Event
from oildrop.rules.evidence import Evidence
from oildrop.rules.phases import PhaseSpan


@dataclass(frozen=True, kw_only=True)
class Block:
    """One timed block of steps; `samples_before` were consumed when it began.

    Attributes:
        enqueue_ns: Until the host had handed over the last step; None where the log does not say, as of early releases.
        batch_ns: In which the host took its batches; None likewise.
    """

    start_ns: int
    stop_ns: int
    samples_before: int
    steps: int
    samples: int
    tokens: int
    loss: float
    enqueue_ns: int | None = None
    batch_ns: int | None = None

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
class Restart:
    """The ranks were started again at `t_ns`, after `samples` samples; `lost_samples` had been consumed beyond them.

    Attributes:
        rank: Which rank had failed; None where that is not known.
        reason: How it had, in words.
    """

    t_ns: int
    rank: int | None
    reason: str
    samples: int
    lost_samples: int


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """What happened when, in nanoseconds since the run's start.

    Attributes:
        end_ns: The last stamp in the log.
        blocks: Those whose work was kept, each where the one before ended; likewise `evaluations`.
        malformed: One sentence for each event that lacks a number it should have.
    """

    run_start_ns: int | None
    run_stop_ns: int | None
    end_ns: int
    blocks: tuple[Block, ...]
    evaluations: tuple[EvaluationMark, ...]
    phases: tuple[PhaseSpan, ...]
    restarts: tuple[Restart, ...]
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
    blocks: list[Block] = []
    evaluations: list[EvaluationMark] = []
    restarts: list[Restart] = []
    for attempt in _attempts(evidence):
        if attempt.restart is not None:
            restart = _restart(attempt.restart, blocks, malformed)
            blocks = [block for block in blocks if block.samples_before + block.samples <= restart.samples]
            evaluations = [mark for mark in evaluations if mark.samples <= restart.samples]
            restarts.append(restart)
        blocks += _blocks(attempt, malformed)
        evaluations += _evaluations(attempt, malformed)
    return Timeline(
        run_start_ns=start.t_ns if start else None,
        run_stop_ns=stop.t_ns if stop else None,
        end_ns=end_ns,
        blocks=tuple(blocks),
        evaluations=tuple(evaluations),
        phases=tuple(_phases(evidence, end_ns)),
        restarts=tuple(restarts),
        malformed=tuple(malformed),
    )


def number(value: Any) -> float:
    """A logged number; NaN and infinity are logged by name. Raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r} is not a number")
    return float(value)


@dataclass(frozen=True, kw_only=True)
class _Attempt:
    """What was logged between two restarts, of which `restart` is the one before it; None for the first."""

    restart: Event | None
    evidence: Evidence
    first_seq: int
    after_seq: int

    def all(self, key: str) -> tuple[Event, ...]:
        """The attempt's events of `key`: a process that was killed may leave a start without its stop."""
        return tuple(event for event in self.evidence.all(key) if self.first_seq <= event.seq < self.after_seq)


def _attempts(evidence: Evidence) -> Iterator[_Attempt]:
    events: tuple[Event | None, ...] = (None, *evidence.all(keys.RESTART))
    seqs = [0 if event is None else event.seq for event in events]
    ends = [*seqs[1:], max((event.seq for event in evidence.events), default=0) + 1]
    for event, first_seq, after_seq in zip(events, seqs, ends, strict=True):
        yield _Attempt(restart=event, evidence=evidence, first_seq=first_seq, after_seq=after_seq)


def _restart(event: Event, blocks: list[Block], malformed: list[str]) -> Restart:
    consumed = max((block.samples_before + block.samples for block in blocks), default=0)
    try:
        samples = _count(event, "samples")
    except _Malformed as error:
        malformed.append(str(error))
        samples = consumed
    rank = event.meta.get("rank")
    return Restart(
        t_ns=event.t_ns,
        rank=rank if isinstance(rank, int) else None,
        reason=str(event.meta.get("reason")),
        samples=samples,
        lost_samples=max(0, consumed - samples),
    )


def _blocks(attempt: _Attempt, malformed: list[str]) -> list[Block]:
    blocks = []
    for start, stop in zip(attempt.all(keys.BLOCK_START), attempt.all(keys.BLOCK_STOP), strict=False):
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
                    enqueue_ns=_told(stop, "enqueue_ns"),
                    batch_ns=_told(stop, "batch_ns"),
                )
            )
        except _Malformed as error:
            malformed.append(str(error))
    return blocks


def _told(event: Event, name: str) -> int | None:
    """A count of nanoseconds that an event may carry."""
    value = event.meta.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _evaluations(attempt: _Attempt, malformed: list[str]) -> list[EvaluationMark]:
    marks = []
    logged = (attempt.all(keys.EVAL_START), attempt.all(keys.EVAL_STOP), attempt.all(keys.EVAL_ACCURACY))
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
