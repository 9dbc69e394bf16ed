"""The one way into a run's event log: dated by the run's clock, redacted before it is hashed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from oildrop.harness.clock import RunClock
from oildrop.harness.messages import Message
from oildrop.results.bundle.write import BundleWriter
from oildrop.rules import keys

SUPERVISOR = "supervisor"


class Recorder:
    """Appends events of the supervisor and, with their receipt time, those of its workers."""

    def __init__(self, writer: BundleWriter, clock: RunClock, redact: Callable[[Any], Any]) -> None:
        self._writer = writer
        self._clock = clock
        self._redact = redact

    def record(self, key: str, value: Any = None, meta: dict[str, Any] | None = None) -> None:
        """One event of the supervisor, now. Raises OSError when the disk is full."""
        self._append(key, value, meta or {}, self._clock.now_ns(), SUPERVISOR)

    def receive(self, message: Message, proc: str) -> None:
        """One event as `proc` stamped it, with the time of its receipt."""
        t_ns = message.monotonic_ns - self._clock.start_ns
        meta = {**message.meta, "received_ns": self._clock.now_ns()}
        self._append(message.key, message.value, meta, t_ns, proc)

    def receive_chunk(self, message: Message, proc: str) -> None:
        """A chunk that `proc` closed: hashed here, logged with hash, rows and range."""
        meta = {**message.meta, **self._writer.add_chunk(f"samples/{message.value}")}
        self.receive(Message(monotonic_ns=message.monotonic_ns, key=keys.CHUNK, value=message.value, meta=meta), proc)

    def sync(self) -> None:
        """Have all events on disk."""
        self._writer.sync()

    def _append(self, key: str, value: Any, meta: dict[str, Any], t_ns: int, proc: str) -> None:
        utc = self._clock.utc(t_ns)
        self._writer.append(key=key, value=self._redact(value), meta=self._redact(meta), t_ns=t_ns, utc=utc, proc=proc)
