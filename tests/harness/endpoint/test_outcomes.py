"""Words for how a request ends: each has a meaning and stands in the guide; errors of sockets find theirs."""

from __future__ import annotations

import errno
import socket
import ssl
from pathlib import Path

import pytest

from oildrop.harness.endpoint.outcomes import MEANINGS, meaning, of_connect_error, of_status

GUIDE = Path(__file__).parents[3] / "docs" / "measure-servers.md"


def test_every_word_stands_in_the_guide() -> None:
    told = GUIDE.read_text()
    assert [word for word in MEANINGS if f"`{word}`" not in told] == []


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "no"), "refused"),
        (OSError(f"Multiple exceptions: [Errno {errno.ECONNREFUSED}] Connect call failed, [Errno 99] no"), "refused"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "dns"),
        (ssl.SSLCertVerificationError("self-signed"), "tls"),
        (TimeoutError(), "timeout"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "cut"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "unreachable"),
    ],
)
def test_errors_of_sockets(error: OSError, word: str) -> None:
    assert of_connect_error(error) == word


def test_statuses() -> None:
    assert of_status(429) == "http_429"
    assert meaning("http_429") == "the server answered with status 429"
    assert meaning("cut") == "the connection was closed before the answer was complete"
