"""The event log's codec: JSON Lines, each line holding the SHA-256 of the one before.

A log cut anywhere is valid up to its last whole line; everything here works on bytes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic_core import from_json

GENESIS = "0" * 64
"""`prev` of a log's first line."""

LARGEST_NS = 2**62
"""A stamp beyond 146 years is no stamp."""


class Event(NamedTuple):
    """One line of the log.

    Attributes:
        seq: Position in the log, from 0.
        t_ns: Nanoseconds since the supervisor started the run, by the host's monotonic clock.
        utc: Wall-clock time of the same instant, ISO 8601 with microseconds and Z.
        proc: Who stamped it, such as `supervisor` or `worker-0`.
        meta: Details; a worker's event carries `received_ns`, the supervisor's receipt time.
        prev: Hex SHA-256 of the previous line without its newline.
    """

    seq: int
    t_ns: int
    utc: str
    proc: str
    key: str
    value: Any = None
    meta: dict[str, Any] = {}
    prev: str = GENESIS


@dataclass(frozen=True, kw_only=True)
class LogReading:
    """A log as found: its valid events, and what is wrong with the rest.

    Attributes:
        head: SHA-256 of the last valid line; GENESIS of an empty log.
        problems: One sentence a break, naming the line.
        clipped_bytes: Length of a last line without newline, 0 when the log ends whole.
    """

    events: tuple[Event, ...]
    head: str
    problems: tuple[str, ...]
    clipped_bytes: int


def encode_event(event: Event) -> bytes:
    """The line of `event`, without newline. Raises ValueError when a value is NaN or infinite."""
    return json.dumps(event._asdict(), separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()


def line_sha256(line: bytes) -> str:
    """Link of the chain: hex SHA-256 of a line without its newline."""
    return hashlib.sha256(line).hexdigest()


def read_log(data: bytes) -> LogReading:
    """Parse a log, checking `seq` and `prev` of every line; reading goes on after a broken link."""
    *lines, tail = data.split(b"\n")
    events: list[Event] = []
    problems: list[str] = []
    head = GENESIS
    for number, line in enumerate(lines, start=1):
        event = _decode_line(line)
        if event is None:
            problems.append(f"line {number} of events.jsonl cannot be read as an event")
            head = line_sha256(line)
            continue
        if event.prev != head:
            problems.append(f"line {number} of events.jsonl (seq {event.seq}) does not follow the line before it")
        elif event.seq != number - 1:
            problems.append(f"line {number} of events.jsonl has seq {event.seq}, expected {number - 1}")
        events.append(event)
        head = line_sha256(line)
    return LogReading(events=tuple(events), head=head, problems=tuple(problems), clipped_bytes=len(tail))


def _decode_line(line: bytes) -> Event | None:
    try:
        event = Event(**from_json(line))
    except (ValueError, TypeError):
        return None
    return event if _is_well_typed(event) else None


def _is_well_typed(event: Event) -> bool:
    numbers = type(event.seq) is int and type(event.t_ns) is int and abs(event.t_ns) < LARGEST_NS
    texts = type(event.utc) is str and type(event.proc) is str and type(event.key) is str and type(event.prev) is str
    return numbers and texts and type(event.meta) is dict
