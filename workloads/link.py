"""The way from a process that reads prompts to one that decodes: messages over a socket, caches over it or beside it.

A message is a frame of JSON and a frame of bytes for each array. Nothing that arrives is unpickled, types and sizes
are checked, and so the other end may stand on another machine. `tcp` sends caches through the socket, `shared-memory`
writes them into pages that both processes see and sends only where they lie.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import queue
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.errors import OildropError

PROTOCOL = 1
"""Of these messages; both ends must have the same."""

HEADER_BYTES = 4 * 2**20
DTYPES = ("<i4", "<i8", "<f4", "<u2")
MOST_AXES = 8


class LinkLost(OildropError):
    """The process at the other end has ended, or the way to it is cut."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """What one end told the other.

    Attributes:
        values: Of JSON's types.
        arrays: Sent through the socket.
        beside: Written into the pages that both see; good until as many more messages bring some as there are parts.
        sent_ns: The sender's monotonic clock when it began to send.
    """

    kind: str
    values: Mapping[str, Any] = field(default_factory=dict)
    arrays: tuple[NDArray[Any], ...] = ()
    beside: tuple[NDArray[Any], ...] = ()
    sent_ns: int = 0


class Link:
    """One end of the way.

    Attributes:
        clock_ahead_ns: How far the other end's monotonic clock is ahead of this one's; 0 on one machine.

    Args:
        area: Pages that both ends see; None where caches go through the socket.
        parts: Into how many the area is divided, to be written in turn.
    """

    def __init__(self, connection: Connection, area: mmap.mmap | None = None, parts: int = 1) -> None:
        self.clock_ahead_ns = 0
        self._connection, self._area, self._parts = connection, area, parts
        self._written = 0

    def close(self) -> None:
        """The other end, and a thread that waits here, then hear that this one has gone."""
        with socket.socket(fileno=os.dup(self._connection.fileno())) as end, contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def send(
        self,
        kind: str,
        values: Mapping[str, Any] | None = None,
        arrays: Sequence[NDArray[Any]] = (),
        beside: Sequence[NDArray[Any]] = (),
    ) -> None:
        """Send one message; `beside` goes into the pages that both see, or where there are none after `arrays`.

        Raises:
            LinkLost: Nobody is there.
        """
        header = {
            "kind": kind,
            "values": dict(values or {}),
            "arrays": [_described(array) for array in arrays],
            "beside": [_described(array) for array in beside],
            "sent_ns": time.monotonic_ns(),
        }
        through = [*arrays, *beside]
        if self._area is not None and beside:
            header["place"] = self._write(beside)
            through = list(arrays)
        try:
            self._connection.send_bytes(json.dumps(header).encode())
            for array in through:
                self._connection.send_bytes(_flat(array))
        except (OSError, ValueError) as error:
            raise LinkLost(_lost()) from error

    def receive(self) -> Message:
        """The next message; waits for it. Raises LinkLost, and OildropError for what is no message."""
        header = self._header()
        try:
            arrays = tuple(self._array(*_checked(each)) for each in header["arrays"])
            described = [_checked(each) for each in header["beside"]]
            place = header.get("place")
            beside = tuple(self._array(*each) for each in described) if place is None else self._seen(described, place)
            kind, values, sent_ns = str(header["kind"]), dict(header["values"]), int(header["sent_ns"])
        except (KeyError, TypeError, ValueError) as error:
            raise OildropError(f"what came over the cache's way is no message of Oildrop's: {error}") from error
        return Message(kind=kind, values=values, arrays=arrays, beside=beside, sent_ns=sent_ns)

    def _header(self) -> dict[str, Any]:
        try:
            text = self._connection.recv_bytes(HEADER_BYTES)
        except (EOFError, OSError) as error:
            raise LinkLost(_lost()) from error
        try:
            header = json.loads(text)
        except ValueError as error:
            raise OildropError("what came over the cache's way is no message of Oildrop's; who sent it?") from error
        if not isinstance(header, dict):
            raise OildropError("what came over the cache's way is no message of Oildrop's; who sent it?")
        return header

    def _array(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        size = dtype.itemsize * int(np.prod(shape, dtype=object))
        try:
            found = self._connection.recv_bytes(size)
        except (EOFError, OSError) as error:
            raise LinkLost(_lost()) from error
        if len(found) != size:
            raise ValueError(f"{len(found)} bytes of an array of {size}")
        return np.frombuffer(found, dtype).reshape(shape)

    def _write(self, arrays: Sequence[NDArray[Any]]) -> int:
        """Into the next part of the area; where it begins."""
        assert self._area is not None
        begin = place = self._written % self._parts * (len(self._area) // self._parts)
        self._written += 1
        for array in arrays:
            flat = _flat(array)
            self._area[place : place + len(flat)] = flat
            place += len(flat)
        return begin

    def _seen(self, described: Sequence[tuple[np.dtype[Any], tuple[int, ...]]], place: int) -> tuple[NDArray[Any], ...]:
        if self._area is None:
            raise ValueError("caches beside the socket, and no pages that both see")
        found = []
        for dtype, shape in described:
            count = int(np.prod(shape, dtype=object))
            found.append(np.frombuffer(self._area, dtype, count, place).reshape(shape))
            place += count * dtype.itemsize
        return tuple(found)


class Mailbox:
    """What comes over a link, taken off it by a thread while this process does other work."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self._come: queue.SimpleQueue[Message | OildropError] = queue.SimpleQueue()
        threading.Thread(target=self._take_all, daemon=True, name="mailbox").start()

    def has_mail(self) -> bool:
        """Whether a message, or the news that there will be none, is here."""
        return not self._come.empty()

    def take(self) -> Message:
        """The next message; waits for it. Raises LinkLost, again and again once it has been."""
        found = self._come.get()
        if isinstance(found, OildropError):
            self._come.put(found)
            raise found
        return found

    def _take_all(self) -> None:
        while True:
            try:
                self._come.put(self.link.receive())
            except OildropError as error:
                self._come.put(error)
                return


def _flat(array: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _described(array: NDArray[Any]) -> list[Any]:
    return [array.dtype.str, list(array.shape)]


def _checked(described: Any) -> tuple[np.dtype[Any], tuple[int, ...]]:
    dtype, shape = described
    if dtype not in DTYPES or len(shape) > MOST_AXES or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise ValueError(f"an array of type {dtype!r} and shape {shape!r}")
    return np.dtype(dtype), tuple(shape)


def _lost() -> str:
    return (
        "the process at the other end of the cache's way has ended, or the way is cut; its last words are in the run's "
        "output.log, or on the machine where it ran"
    )
