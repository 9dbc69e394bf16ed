"""Hears several ranks at once: they connect to a socket in a private folder, because launchers hand on no pipes."""

from __future__ import annotations

import selectors
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import cast

from oildrop.harness.messages import HELLO, Message, decode

READ_BYTES = 1 << 16


class Hub:
    """The supervisor's end; `closed` once the launcher has ended and the last connection has been read to its end."""

    inherited: tuple[int, ...] = ()

    def __init__(self) -> None:
        self._exit_status: Callable[[], int | None] = lambda: None
        self._folder = tempfile.TemporaryDirectory(prefix="oildrop-hub-", ignore_cleanup_errors=True)
        self.address = str(Path(self._folder.name) / "socket")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.address)
        self._listener.listen(socket.SOMAXCONN)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)

    @property
    def closed(self) -> bool:
        """Whether nothing more will be heard."""
        return self._exit_status() is not None and len(self._selector.get_map()) == 1 and not self._selector.select(0)

    def started(self, exit_status: Callable[[], int | None]) -> None:
        """The launcher runs until `exit_status` gives one."""
        self._exit_status = exit_status

    def wait(self, seconds: float) -> list[tuple[int, Message]]:
        """Messages that arrive within `seconds`, each with its rank. Raises ValueError for a line that is none."""
        found: list[tuple[int, Message]] = []
        for key, _ in self._selector.select(seconds):
            if key.fileobj is self._listener:
                connection, _ = self._listener.accept()
                self._selector.register(connection, selectors.EVENT_READ, _Caller())
            else:
                found += self._read(cast(socket.socket, key.fileobj), key.data)
        return found

    def close(self) -> None:
        """Hang up on everybody and remove the folder."""
        for key in list(self._selector.get_map().values()):
            cast(socket.socket, key.fileobj).close()
        self._selector.close()
        self._folder.cleanup()

    def _read(self, connection: socket.socket, caller: _Caller) -> list[tuple[int, Message]]:
        try:
            data = connection.recv(READ_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            self._selector.unregister(connection)
            connection.close()
        return caller.messages(data)


class _Caller:
    """One connection: which rank it is, once it has said so, and what it has said of its next line."""

    def __init__(self) -> None:
        self._rank: int | None = None
        self._rest = b""

    def messages(self, data: bytes) -> list[tuple[int, Message]]:
        """The messages that end in `data`."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        found: list[tuple[int, Message]] = []
        for line in lines:
            message = decode(line)
            if message.key == HELLO:
                self._rank = int(message.value)
            elif self._rank is None:
                raise ValueError(f"not a worker's message, no rank was named before it: {line[:80]!r}")
            else:
                found.append((self._rank, message))
        return found
