"""What a worker tells its supervisor: JSON lines over a pipe or a socket, stamped by the worker.

The worker buffers events and hands them over at each evaluation and at least every second, so
that nothing is written inside a timed step.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from oildrop.rules import keys

HELLO = "hello"
"""First message of a connection: its value is the rank that speaks."""

RANK_ENDED = "rank_ended"
"""From a rank's minder: the rank, and its exit status as subprocess gives it."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """One event as the worker stamped it: `monotonic_ns` is the host's monotonic clock itself."""

    monotonic_ns: int
    key: str
    value: Any
    meta: dict[str, Any]


def encode(message: Message) -> bytes:
    """The message as one line with its newline."""
    parts = [message.monotonic_ns, message.key, message.value, message.meta]
    return json.dumps(parts, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def decode(line: bytes) -> Message:
    """The message on `line`. Raises ValueError when it is none."""
    try:
        parts = json.loads(line)
    except ValueError as error:
        raise ValueError(f"not a worker's message: {line[:80]!r}") from error
    if not (isinstance(parts, list) and len(parts) == 4 and isinstance(parts[0], int) and isinstance(parts[3], dict)):
        raise ValueError(f"not a worker's message: {line[:80]!r}")
    return Message(monotonic_ns=parts[0], key=str(parts[1]), value=parts[2], meta=parts[3])


def open_channel(address: str, rank: int) -> int:
    """The descriptor to write to: `address` itself where it is a number, else a socket on which `rank` says hello.

    Raises:
        OSError: Nobody listens there; the supervisor is gone.
    """
    if address.isdecimal():
        return int(address)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(address)
        connection.sendall(encode(Message(monotonic_ns=time.monotonic_ns(), key=HELLO, value=rank, meta={})))
        return connection.detach()


class Emitter:
    """The worker's end of the channel: `emit` buffers, `flush` hands over.

    Args:
        only: Keys to pass on; None passes all. A rank beside the first tells only what is its own.

    Attributes:
        clock_started: Whether `run_start` was emitted, passed on or not.
    """

    def __init__(self, descriptor: int, *, only: frozenset[str] | None = None) -> None:
        self._descriptor = descriptor
        self._only = only
        self._buffer: deque[Message] = deque()
        self._lock = threading.Lock()
        self.clock_started = False

    def emit(
        self, key: str, value: Any = None, meta: dict[str, Any] | None = None, *, at_ns: int | None = None
    ) -> None:
        """Buffer one event, stamped now or at `at_ns` of the monotonic clock."""
        self.clock_started = self.clock_started or key == keys.RUN_START
        if self._only is not None and key not in self._only:
            return
        stamp = time.monotonic_ns() if at_ns is None else at_ns
        self._buffer.append(Message(monotonic_ns=stamp, key=key, value=value, meta=meta or {}))

    def flush(self) -> None:
        """Hand all buffered events to the supervisor. Raises ConnectionError when it is gone."""
        with self._lock:
            pending = [self._buffer.popleft() for _ in range(len(self._buffer))]
            view = memoryview(b"".join(encode(message) for message in pending))
            while view:
                view = view[os.write(self._descriptor, view) :]


class Heartbeat(threading.Thread):
    """Hands events over every second with the count of steps done, so that silence means trouble.

    Attributes:
        progress: Steps done.
        answered: Requests that a served model has answered; None before the first.
        failed: Requests that ended otherwise.
    """

    def __init__(self, emitter: Emitter, *, period_s: float = 1.0) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._emitter = emitter
        self._period_s = period_s
        self._stopped = threading.Event()
        self.progress = 0
        self.answered: int | None = None
        self.failed = 0

    def run(self) -> None:
        """Beat until stopped; end the process when the supervisor is gone."""
        while not self._stopped.wait(self._period_s):
            meta = {} if self.answered is None else {"answered": self.answered, "failed": self.failed}
            self._emitter.emit("heartbeat", self.progress, meta)
            try:
                self._emitter.flush()
            except ConnectionError:
                os._exit(1)

    def stop(self) -> None:
        """Beat no more; returns once the thread has ended."""
        self._stopped.set()
        self.join()
