"""How one request to a server can end, in a word each; every word but `ok` is an error and stays in the statistics."""

from __future__ import annotations

import errno
import socket
import ssl
from typing import NewType

Outcome = NewType("Outcome", str)

OK = Outcome("ok")
REFUSED = Outcome("refused")
DNS = Outcome("dns")
TLS = Outcome("tls")
UNREACHABLE = Outcome("unreachable")
CUT = Outcome("cut")
MALFORMED = Outcome("malformed")
SERVER_ERROR = Outcome("server_error")
TIMEOUT = Outcome("timeout")
EMPTY = Outcome("empty")
TRUNCATED = Outcome("truncated")
TOO_LONG = Outcome("too_long")
OVERFLOW = Outcome("overflow")
UNFINISHED = Outcome("unfinished")

MEANINGS: dict[Outcome, str] = {
    OK: "answered as asked",
    REFUSED: "nothing listens at the address",
    DNS: "the host's name has no address",
    TLS: "the secure connection could not be made",
    UNREACHABLE: "the host cannot be reached",
    CUT: "the connection was closed before the answer was complete",
    MALFORMED: "what came back is no stream of completions",
    SERVER_ERROR: "the server reported an error inside the stream",
    TIMEOUT: "the answer took longer than the limit",
    EMPTY: "the answer was complete and held no text",
    TRUNCATED: "the answer has fewer tokens than were asked for",
    TOO_LONG: "the answer went on past what was asked for",
    OVERFLOW: "as many requests as there may be connections were in flight, so it was not sent",
    UNFINISHED: "still unanswered when the run was stopped",
}


def of_status(status: int) -> Outcome:
    """The outcome of an answer with another status than 200, such as `http_429`."""
    return Outcome(f"http_{status}")


def of_connect_error(error: OSError) -> Outcome:
    """What kept a connection from being made."""
    if isinstance(error, socket.gaierror):
        return DNS
    if isinstance(error, ssl.SSLError):
        return TLS
    if isinstance(error, TimeoutError):
        return TIMEOUT
    # asyncio joins the errors of a name's several addresses into one text without a number.
    if error.errno == errno.ECONNREFUSED or f"[Errno {errno.ECONNREFUSED}]" in str(error):
        return REFUSED
    return CUT if isinstance(error, ConnectionError) else UNREACHABLE


def meaning(outcome: str) -> str:
    """The outcome in words."""
    if outcome.startswith("http_"):
        return f"the server answered with status {outcome.removeprefix('http_')}"
    return MEANINGS[Outcome(outcome)]
