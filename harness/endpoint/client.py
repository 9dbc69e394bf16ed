"""A streaming HTTP/1.1 client for one server: connections that stay open, one request at a time on each.

No proxy of the environment is used, no redirect followed and nothing sent twice: what the server does is the result.
An answer's bytes are stamped as the first thing after the read, once a read, and looked at only when all that came with
them to other connections is stamped too: of streams that tick together none waits for another's to be parsed.
"""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, cast

from oildrop.harness.endpoint import outcomes
from oildrop.harness.endpoint.address import Address
from oildrop.harness.endpoint.http1 import AnswerParser, MalformedAnswer, request_bytes
from oildrop.harness.endpoint.outcomes import Outcome

CONNECT_LIMIT_S = 10.0
USER_AGENT = "oildrop"


class Receiver(Protocol):
    """Who takes an answer in. `outcome` is set once it needs no more."""

    issued_ns: int
    outcome: Outcome | None

    def head(self, status: int, content_type: str) -> None:
        """Status and media type have come."""

    def received(self, body: bytes, now_ns: int) -> None:
        """A part of the body has come."""

    def completed(self) -> None:
        """The answer is whole."""

    def failed(self, outcome: Outcome, words: str | None = None) -> None:
        """It will not be completed."""


class Inbox:
    """What has come to all connections of a client and was stamped, but not looked at.

    A share of it is looked at between two readings of all connections: an answer that ends has the next request sent,
    and of many that end together the last may be sent long after the first has its first token.
    """

    SHARE = 8

    def __init__(self) -> None:
        self._waiting: deque[tuple[Connection, bytes, int]] = deque()

    def put(self, connection: Connection, data: bytes, now_ns: int) -> None:
        """Keep it until the event loop has read from every connection that has something."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._work)
        self._waiting.append((connection, data, now_ns))

    def empty(self) -> None:
        """Hand on everything, in order."""
        self._hand_on(len(self._waiting))

    def _work(self) -> None:
        self._hand_on(math.ceil(len(self._waiting) / self.SHARE))
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._work)

    def _hand_on(self, count: int) -> None:
        for _ in range(count):
            connection, data, now_ns = self._waiting.popleft()
            connection.take_in(data, now_ns)


class Connection(asyncio.Protocol):
    """One connection. Between two requests it is idle; `usable` says whether it can take another."""

    def __init__(self, inbox: Inbox) -> None:
        self.usable = True
        self._inbox = inbox
        self._transport: asyncio.Transport | None = None
        self._parser = AnswerParser()
        self._receiver: Receiver | None = None
        self._ended: asyncio.Future[None] | None = None
        self._told_head = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Kept, to write to."""
        self._transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes, receiver: Receiver) -> asyncio.Future[None]:
        """Write `request`; the future is done when `receiver` has its outcome."""
        assert self._transport is not None
        self._parser, self._receiver, self._told_head = AnswerParser(), receiver, False
        self._ended = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._ended

    def data_received(self, data: bytes) -> None:
        """Stamp, and let it wait for what came to the others."""
        now_ns = time.monotonic_ns()
        if self._receiver is None:  # nothing was asked: whatever this is, the connection cannot be trusted
            self.close()
            return
        self._inbox.put(self, data, now_ns)

    def take_in(self, data: bytes, now_ns: int) -> None:
        """Parse what came at `now_ns`, and hand it to the receiver, unless that has its outcome already."""
        receiver = self._receiver
        if receiver is None:
            self.close()
            return
        try:
            body = self._parser.feed(data)
        except MalformedAnswer as error:
            receiver.failed(outcomes.MALFORMED, str(error))
            self._finish(reusable=False)
            return
        if not self._told_head and self._parser.head is not None:
            self._told_head = True
            receiver.head(self._parser.head.status, self._parser.head.headers.get("content-type", ""))
        if body:
            receiver.received(body, now_ns)
        self._look(receiver)

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side has closed, in time or not."""
        self._inbox.empty()
        self.usable = False
        receiver = self._receiver
        if receiver is None:
            return
        self._parser.closed()
        if self._parser.done and exc is None:
            receiver.completed()
        else:
            receiver.failed(outcomes.CUT, None if exc is None else type(exc).__name__)
        self._finish(reusable=False)

    def give_up(self, outcome: Outcome) -> None:
        """End the request on it, if one is open after all that has come, with `outcome`."""
        self._inbox.empty()
        if self._receiver is not None:
            self._receiver.failed(outcome)
            self._finish(reusable=False)

    def close(self) -> None:
        """Close at once."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    def _look(self, receiver: Receiver) -> None:
        """Whether the answer has ended by what has come."""
        if self._parser.done:
            receiver.completed()
            head = self._parser.head
            self._finish(reusable=head is not None and head.keeps_alive and not self._parser.rest)
        elif receiver.outcome is not None:
            self._finish(reusable=False)

    def _finish(self, *, reusable: bool) -> None:
        ended, self._receiver, self._ended = self._ended, None, None
        if not reusable:
            self.close()
        if ended is not None and not ended.done():
            ended.set_result(None)


@dataclass(kw_only=True)
class Client:
    """All connections to one server.

    Attributes:
        headers: Sent with each request; the key is in here and nowhere else.
        limit_s: Longest that an answer may take from being handed over to its end.
    """

    address: Address
    limit_s: float
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    _idle: list[Connection] = field(default_factory=list)
    _open: set[Connection] = field(default_factory=set)
    _inbox: Inbox = field(default_factory=Inbox)
    _secure: ssl.SSLContext | None = None

    async def ask(
        self, method: str, path: str, receiver: Receiver, body: bytes = b"", *, from_root: bool = False
    ) -> None:
        """Send one request, on an idle connection or a new one; returns when `receiver` has its outcome.

        `path`, such as `/models`, follows the address's own, or with `from_root` stands alone.
        """
        await self.send(self.request(method, path, body, from_root=from_root), receiver)

    async def send(self, request: bytes, receiver: Receiver) -> None:
        """As `ask`, for a request that is bytes already."""
        receiver.issued_ns = time.monotonic_ns()
        connection = self._take_idle()
        if connection is None:
            try:
                connection = await self._connect()
            except OSError as error:
                receiver.failed(outcomes.of_connect_error(error), type(error).__name__)
                return
        ended = connection.send(request, receiver)
        left_s = self.limit_s - (time.monotonic_ns() - receiver.issued_ns) / 1e9
        limit = asyncio.get_running_loop().call_later(max(left_s, 0.0), connection.give_up, outcomes.TIMEOUT)
        try:
            await ended
        except asyncio.CancelledError:
            connection.give_up(outcomes.UNFINISHED)
            raise
        finally:
            limit.cancel()
            if connection.usable:
                self._idle.append(connection)
            else:
                self._open.discard(connection)

    def request(self, method: str, path: str, body: bytes = b"", *, from_root: bool = False) -> bytes:
        """One request as bytes; a load generator makes them before they are due."""
        headers = {"User-Agent": USER_AGENT, "Accept": "*/*", **self.headers}
        whole = path if from_root else self.address.base_path + path
        return request_bytes(method, whole, self.address.host_header, headers, body)

    async def connect(self, count: int) -> None:
        """Open connections until `count` are idle. Raises OSError."""
        for connection in [await self._connect() for _ in range(count - len(self._idle))]:
            self._idle.append(connection)

    def close(self) -> None:
        """Close all connections."""
        for connection in self._open:
            connection.close()
        self._open.clear()
        self._idle.clear()

    def _take_idle(self) -> Connection | None:
        """The connection used last, so that few stay busy and the others may be closed by the server."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            self._open.discard(connection)
        return None

    async def _connect(self) -> Connection:
        """A new connection. Raises OSError, TimeoutError among them."""
        loop = asyncio.get_running_loop()
        if self.address.secure and self._secure is None:
            self._secure = ssl.create_default_context()
        async with asyncio.timeout(min(CONNECT_LIMIT_S, self.limit_s)):
            _, connection = await loop.create_connection(
                lambda: Connection(self._inbox), self.address.host, self.address.port, ssl=self._secure
            )
        self._open.add(connection)
        return connection
