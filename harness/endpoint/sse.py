"""Server-sent events out of a stream of bytes; pure.

Source: WHATWG HTML standard, section 9.2.6 "Interpreting an event stream", read 2026-11-25.
"""

from __future__ import annotations

MAX_EVENT_BYTES = 1 << 20
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class MalformedStream(ValueError):
    """The bytes are no stream of events."""


class EventStream:
    """Takes bytes as they arrive, with borders anywhere, and gives the data of each event once it is complete."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._begun = False

    def feed(self, received: bytes) -> list[bytes]:
        """Data of the events that `received` completes, in order; comments and events without data are left out.

        Raises:
            MalformedStream: An event is longer than `MAX_EVENT_BYTES`.
        """
        text = self._rest + received if self._rest else received
        if not self._begun:
            text = self._without_mark(text)
        if b"\r" in text:
            text = _with_line_feeds(text)
        *lines, self._rest = text.split(b"\n")
        events = []
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
            elif not line and self._data:
                events.append(b"\n".join(self._data))
                self._data.clear()
            elif line == b"data":
                self._data.append(b"")
        if len(self._rest) + sum(map(len, self._data)) > MAX_EVENT_BYTES:
            raise MalformedStream(f"an event is longer than {MAX_EVENT_BYTES} bytes")
        return events

    def _without_mark(self, text: bytes) -> bytes:
        """A byte order mark may open the stream; until three bytes are there nobody can tell."""
        if len(text) < len(BYTE_ORDER_MARK) and BYTE_ORDER_MARK.startswith(text):
            return text
        self._begun = True
        return text.removeprefix(BYTE_ORDER_MARK)


def _with_line_feeds(text: bytes) -> bytes:
    """All line ends as one line feed; a carriage return at the very end waits for what follows it."""
    held = b"\r" if text.endswith(b"\r") else b""
    whole = text[: len(text) - len(held)]
    return whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n") + held
