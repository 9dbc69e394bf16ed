"""HTTP/1.1 as a client needs it: requests as bytes, and answers out of a stream of bytes; pure.

Source: RFC 9112 (HTTP/1.1), sections 4 to 7, read 2026-11-25.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

MAX_HEAD_BYTES = 1 << 16
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: .*)?")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?")


class MalformedAnswer(ValueError):
    """The bytes are no HTTP/1.1 answer."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """Status and headers of an answer; header names in lower case, repeated ones joined by commas."""

    status: int
    headers: Mapping[str, str]
    minor_version: int

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection may carry another request."""
        words = self.headers.get("connection", "").lower()
        return "keep-alive" in words if self.minor_version == 0 else "close" not in words


def request_bytes(method: str, path: str, host: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """One request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class AnswerParser:
    """One answer. `feed` gives the body as far as it has come; `head` and `done` tell how far that is.

    Attributes:
        head: None until all headers have come.
        done: Whether the answer is complete.
        rest: Bytes past the answer's end.
    """

    def __init__(self) -> None:
        self.head: Head | None = None
        self.done = False
        self.rest = b""
        self._buffer = b""
        self._left = 0
        self._chunked = False
        self._until_close = False
        self._in_trailers = False

    def feed(self, received: bytes) -> bytes:
        """The part of the body that `received` brings. Raises MalformedAnswer."""
        data = self._buffer + received if self._buffer else received
        self._buffer = b""
        if self.head is None:
            data = self._read_head(data)
            if self.head is None:
                return b""
        if self._chunked:
            return self._read_chunks(data)
        if self._until_close:
            return data
        body, self.rest = data[: self._left], data[self._left :]
        self._left -= len(body)
        self.done = self._left == 0
        return body

    def closed(self) -> None:
        """The other side has closed: the end of an answer without a length."""
        self.done = self.done or self._until_close

    def _read_head(self, data: bytes) -> bytes:
        """Read status and headers, passing over interim answers; returns what follows them."""
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                if len(data) > MAX_HEAD_BYTES or not _may_begin(data):
                    raise MalformedAnswer(f"no HTTP/1.1 answer begins with {data[:40]!r}")
                self._buffer = data
                return b""
            head = _parse_head(data[:end])
            data = data[end + 4 :]
            if head.status >= 200:
                break
        self.head = head
        self._frame(head)
        return data

    def _frame(self, head: Head) -> None:
        """How the end of the body is told."""
        length = head.headers.get("content-length")
        if head.status in (204, 304):
            return
        if "chunked" in head.headers.get("transfer-encoding", "").lower():
            self._chunked = True
        elif length is None:
            self._until_close = True
        elif length.isascii() and length.isdigit():
            self._left = int(length)
        else:
            raise MalformedAnswer(f"content-length is {length[:40]!r}")

    def _read_chunks(self, data: bytes) -> bytes:
        """Bodies of the chunks in `data`. `_left` counts what is missing of a chunk and the line end after it."""
        body: list[bytes] = []
        at = 0
        while at < len(data):
            if self._left > 0:
                taken = data[at : at + self._left]
                at += len(taken)
                self._left -= len(taken)
                body.append(taken[: max(0, len(taken) - max(0, 2 - self._left))])
                continue
            end = data.find(b"\r\n", at)
            if end < 0:
                if len(data) - at > MAX_HEAD_BYTES:
                    raise MalformedAnswer("a chunk has no size")
                self._buffer = data[at:]
                break
            line, at = data[at:end], end + 2
            if self._in_trailers:
                if not line:
                    self.done, self.rest = True, data[at:]
                    break
                continue
            size = _SIZE.fullmatch(line)
            if size is None:
                raise MalformedAnswer(f"a chunk's size is {line[:40]!r}")
            length = int(size[1], 16)
            if length and at + length + 2 <= len(data):  # all of it is here, as it mostly is
                body.append(data[at : at + length])
                at += length + 2
                continue
            self._in_trailers = length == 0
            self._left = length + 2 if length else 0
        return b"".join(body)


def _may_begin(data: bytes) -> bool:
    """Whether `data` may yet become an answer."""
    sign = b"HTTP/1."
    return data[: len(sign)] == sign[: len(data)]


def _parse_head(text: bytes) -> Head:
    first, *lines = text.split(b"\r\n")
    status = _STATUS.fullmatch(first)
    if status is None:
        raise MalformedAnswer(f"no HTTP/1.1 answer begins with {first[:40]!r}")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon:
            raise MalformedAnswer(f"{line[:40]!r} is no header")
        name = name.lower()
        headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
    return Head(status=int(status[2]), headers=headers, minor_version=int(status[1]))
