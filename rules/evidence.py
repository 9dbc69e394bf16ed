"""What the judge sees of a run: read from its bundle, held in plain tuples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from oildrop.rules.events import Event
from oildrop.rules.records import RunSpec
from oildrop.rules.system import System


@dataclass(frozen=True, kw_only=True)
class EvaluationTable:
    """Per-document evidence of one kept evaluation, columns of equal length.

    Attributes:
        samples: Training samples consumed when it was made.
        loss_nats: The model's -ln q, summed over each document's scored tokens.
        source_nats: The source's -ln p over the same tokens; 0 where the task has no source.
    """

    samples: int
    loss_nats: tuple[float, ...]
    source_nats: tuple[float, ...]
    token_count: tuple[int, ...]
    correct_count: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class RequestTable:
    """Every request that a served run issued, in order of issue; columns of equal length.

    Times are nanoseconds since `run_start`. A request that was never answered stays: its outcome says how it ended,
    and its missing times are None.

    Attributes:
        index: Number of the request in the seed's stream.
        query: Number of the query that it belongs to; a query's requests are issued together.
        scheduled_ns: When it was due. Latency counts from here.
        issued_ns: When the generator handed it over.
        first_ns: First token (or the whole answer of a task without tokens).
        last_ns: Last token.
        input_tokens: Of its prompt or sentence; an image counts one.
        output_tokens: That were received.
        expected_tokens: That were asked for.
        outcome: `ok`, else in a word how it failed (`truncated`, `http_500`, `cut`, `timeout`, `unfinished`, …).
        gaps_ns: Time of each token after the first since the one before; tokens that came together share a stamp.
        tokens: Ids of the received tokens, where the system under test tells them.
    """

    index: tuple[int, ...]
    query: tuple[int, ...]
    scheduled_ns: tuple[int, ...]
    issued_ns: tuple[int, ...]
    first_ns: tuple[int | None, ...]
    last_ns: tuple[int | None, ...]
    input_tokens: tuple[int, ...]
    output_tokens: tuple[int, ...]
    expected_tokens: tuple[int, ...]
    outcome: tuple[str, ...]
    gaps_ns: tuple[tuple[int, ...], ...]
    tokens: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class AnswerTable:
    """Quality of a sampled share of the timed answers, one row an answer; columns of equal length.

    Attributes:
        index: Number of the request in the seed's stream.
        loss_nats: The served model's -ln q over the known part of the document, summed.
        source_nats: The source's own -ln p over the same tokens; 0 where the task has no source.
        token_count: Scored tokens of that part; images and sentences count one.
        agreed_count: Output tokens (or answers) that equal the fp32 reference's, given what came before.
        compared_count: Output tokens (or answers) that were compared.
        correct_count: Of the scored ones those that were right; None where the task says of no answer that it is.
        reference_correct_count: Likewise of the reference's answers to the same requests.
    """

    index: tuple[int, ...]
    loss_nats: tuple[float, ...]
    source_nats: tuple[float, ...]
    token_count: tuple[int, ...]
    agreed_count: tuple[int, ...]
    compared_count: tuple[int, ...]
    correct_count: tuple[int, ...] | None = None
    reference_correct_count: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Series:
    """One quantity of one meter over time, in order of time.

    Attributes:
        meter: The meter's name, such as `process` or `nvidia`.
        quantity: What it is with its unit, such as `power_w`, `energy_j`, `cpu_s`, `rss_bytes`.
        device: Whose: a salted device id, `cpu`, `worker`, ….
        scope: What the value covers; scopes are never summed or ranked together.
    """

    meter: str
    quantity: str
    device: str
    scope: str
    t_ns: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something wrong with the bundle itself: which file, and what."""

    file: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that a run left behind.

    Attributes:
        system: None when `system.json` is missing or unreadable (then `problems` says so).
        problems: Integrity problems found while reading; empty for a bundle as sealed.
        sealed: Whether `seal.json` exists.
        supervisor_alive: True only for a run of this store whose supervisor holds its lock.
        rulebook_files: SHA-256 by name of the rulebook files inside the bundle.
    """

    spec: RunSpec
    system: System | None
    events: tuple[Event, ...]
    evaluations: tuple[EvaluationTable, ...] = ()
    requests: RequestTable | None = None
    answers: AnswerTable | None = None
    series: tuple[Series, ...] = ()
    problems: tuple[Problem, ...] = ()
    sealed: bool = False
    supervisor_alive: bool = False
    clipped_bytes: int = 0
    rulebook_files: tuple[tuple[str, str], ...] = ()

    @cached_property
    def by_key(self) -> dict[str, tuple[Event, ...]]:
        """Events by key, each in order of the log."""
        groups: dict[str, list[Event]] = {}
        for event in self.events:
            groups.setdefault(event.key, []).append(event)
        return {key: tuple(events) for key, events in groups.items()}

    def first(self, key: str) -> Event | None:
        """The first event of `key`, or None."""
        return self.by_key[key][0] if key in self.by_key else None

    def last(self, key: str) -> Event | None:
        """The last event of `key`, or None."""
        return self.by_key[key][-1] if key in self.by_key else None

    def all(self, key: str) -> tuple[Event, ...]:
        """All events of `key`, in order of the log."""
        return self.by_key.get(key, ())
