"""The way to a process on another machine that reads prompts: where it is, who may use it, and how its clock stands.

Address and key come from the environment and enter no bundle. What was shaken hands on: the secret first, by the
challenge of the standard library, then the versions of both ends and the backend.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection
from typing import Any

from oildrop.rules.errors import Unsupported, UsageError
from oildrop.workloads.link import PROTOCOL, Link, LinkLost
from oildrop.workloads.lm_generate.disaggregated import done

ADDRESS, KEY = "OILDROP_PREFILL", "OILDROP_PREFILL_KEY"
SHORTEST_KEY = 16
"""Characters of a key, at least: whoever has it may use the machine that listens."""

CONNECT_WAIT_S = 10.0
PINGS = 32
"""Questions for the time; the shortest of them bounds how far the clocks may be apart."""

SILENCE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4}
"""After 30 s without a sign of life from the other machine the way counts as cut."""


@dataclass(frozen=True, kw_only=True)
class ClockReading:
    """How far another machine's monotonic clock is ahead of this one's, and by how much that may be wrong, in ns."""

    ahead_ns: int
    bound_ns: int


def parse_place(name: str, text: str) -> tuple[str, int]:
    """`HOST:PORT`. Raises UsageError naming what it stands in."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 <= int(port) < 65536:
        raise UsageError(f"{name} is no HOST:PORT with a port from 0 to 65535; give for example 10.0.0.7:7070")
    return host.strip("[]"), int(port)


def key_of(environment: Mapping[str, str]) -> bytes:
    """The secret that both ends share. Raises UsageError where there is none to speak of, without naming it."""
    key = environment.get(KEY, "").strip()
    if len(key) < SHORTEST_KEY:
        raise UsageError(
            f"{KEY} holds {len(key)} characters, at least {SHORTEST_KEY} are needed; set one secret on both machines"
        )
    return key.encode()


def way_of(environment: Mapping[str, str]) -> tuple[tuple[str, int], bytes]:
    """Where prompts are read, and the secret that is asked for there. Raises UsageError where either is missing."""
    if not environment.get(ADDRESS):
        raise UsageError(
            f"{ADDRESS} is not set; name the machine on which `oildrop prefill serve` listens, as HOST:PORT"
        )
    return parse_place(ADDRESS, environment[ADDRESS]), key_of(environment)


def reach(backend: str, environment: Mapping[str, str]) -> tuple[Link, dict[str, Any]]:
    """The way to the process that reads prompts, and what it says of itself and of its clock.

    Raises:
        Unsupported: Nobody listens there, the key is another, or the other end is of another kind.
        UsageError: The address or the key is none.
    """
    place, key = way_of(environment)
    link = Link(_connected(place, key))
    try:
        link.send("hello", {"protocol": PROTOCOL, "oildrop": version("oildrop"), "backend": backend})
        told = dict(done(link.receive()).values)
        clock = read_clock(lambda: _asked_time(link))
    except LinkLost as error:
        raise Unsupported(f"prefill: the machine at {ADDRESS} closed the connection at once; see its output") from error
    link.clock_ahead_ns = clock.ahead_ns
    return link, told | {"clock_ahead_ns": clock.ahead_ns, "clock_bound_ns": clock.bound_ns}


def read_clock(ask: Callable[[], int], now: Callable[[], int] = time.monotonic_ns) -> ClockReading:
    """Another machine's clock from the shortest question and answer: it was read somewhere between the two.

    Source: D. L. Mills, RFC 5905, section 8: offset and round trip of one exchange.
    """
    readings = []
    for _ in range(PINGS):
        sent_ns = now()
        theirs_ns = ask()
        readings.append((now() - sent_ns, sent_ns, theirs_ns))
    trip_ns, sent_ns, theirs_ns = min(readings)
    return ClockReading(ahead_ns=theirs_ns - sent_ns - trip_ns // 2, bound_ns=trip_ns - trip_ns // 2)


def keep_alive(connection: Connection) -> None:
    """No delay for small messages, and an end for a way on which nobody answers."""
    with socket.socket(fileno=os.dup(connection.fileno())) as end:
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in SILENCE.items():
            if hasattr(socket, name):  # Not every system has all of them.
                end.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _connected(place: tuple[str, int], key: bytes) -> Connection:
    try:
        socket.create_connection(place, timeout=CONNECT_WAIT_S).close()
        connection: Connection = Client(place, authkey=key)
    except AuthenticationError as error:
        raise Unsupported(f"prefill: the other machine has another secret; set the same {KEY} on both") from error
    except (OSError, EOFError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise Unsupported(
            f"prefill: nobody answers at the address in {ADDRESS} ({why}); start `oildrop prefill serve` there"
        ) from error
    keep_alive(connection)
    return connection


def _asked_time(link: Link) -> int:
    link.send("time")
    return int(done(link.receive()).values["now_ns"])
