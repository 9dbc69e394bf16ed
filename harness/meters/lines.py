"""Lines that an instrument sends by itself, from a program, a serial line or a network address; nobody waits."""

from __future__ import annotations

import os
import socket
import subprocess
import termios
import time
import tty
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from oildrop.harness.meters.interface import MeterError

CONNECT_LIMIT_S = 5.0
LONGEST_LINE_BYTES = 65536
_END_WAIT_S = 1.0


class Lines:
    """What has come since the last look, in whole lines.

    Args:
        read: Up to so many bytes; b"" at the end; raises BlockingIOError when nothing has come.
        close: Lets the source go.
        source: What it is, for messages; no address, which would enter a bundle.
    """

    def __init__(self, read: Callable[[int], bytes], close: Callable[[], None], source: str) -> None:
        self._read, self._close, self._source = read, close, source
        self._rest = b""

    def take(self) -> list[str]:
        """Whole lines, oldest first; none when nothing has come. Raises MeterError when the source has ended."""
        data = self._rest + self._available()
        *whole, self._rest = data.split(b"\n")
        if len(self._rest) > LONGEST_LINE_BYTES:
            raise MeterError(f"{self._source} sent {len(self._rest)} bytes without an end of line")
        return [line.decode(errors="replace").strip() for line in whole]

    def close(self) -> None:
        """Let the source go; a second call does nothing."""
        close, self._close = self._close, _nothing
        close()

    def _available(self) -> bytes:
        parts: list[bytes] = []
        while sum(map(len, parts)) <= LONGEST_LINE_BYTES:
            try:
                part = self._read(LONGEST_LINE_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                raise MeterError(f"{self._source} cannot be read any more ({error.strerror or error})") from error
            if not part:
                if parts:
                    break
                raise MeterError(f"{self._source} has ended")
            parts.append(part)
        return b"".join(parts)


def of_program(command: Sequence[str], source: str) -> Lines:
    """What a program prints; it ends with `close`. Raises MeterError when it cannot be started."""
    try:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
    except OSError as error:
        raise MeterError(f"{source} cannot be started ({error.strerror or error})") from error
    assert child.stdout is not None
    descriptor = child.stdout.fileno()
    os.set_blocking(descriptor, False)

    def end() -> None:
        child.kill()
        try:
            child.wait(_END_WAIT_S)
        except subprocess.TimeoutExpired:
            return  # Stuck in a driver: it is left behind.
        assert child.stdout is not None
        child.stdout.close()

    return Lines(lambda count: os.read(descriptor, count), end, source)


def of_address(address: str, source: str, baud: int = 9600) -> Lines:
    """A serial line (`/dev/tty…`) or a network address (`tcp://host:port`). Raises MeterError in words."""
    if address.startswith("tcp://"):
        return _of_network(address, source)
    return _of_serial(address, source, baud)


def _of_network(address: str, source: str) -> Lines:
    parts = urlsplit(address)
    try:
        if not parts.hostname or not parts.port:
            raise MeterError(f"{source}: address {address!r} is not tcp://host:port")
        connection = socket.create_connection((parts.hostname, parts.port), CONNECT_LIMIT_S)
    except (OSError, ValueError) as error:
        raise MeterError(f"{source} does not answer ({error}); is it switched on, and is its port free?") from error
    connection.setblocking(False)
    return Lines(connection.recv, connection.close, source)


def _of_serial(path: str, source: str, baud: int) -> Lines:
    speed = getattr(termios, f"B{baud}", None)
    if speed is None:
        raise MeterError(f"{source}: a serial line has no speed of {baud} baud; 9600 and 115200 are usual")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except PermissionError as error:
        raise MeterError(
            f"{source} may not be read; add yourself to the group of the device (often `dialout`)"
        ) from error
    except OSError as error:
        raise MeterError(f"{source} cannot be opened ({error.strerror or error}); is it plugged in?") from error
    try:
        tty.setraw(descriptor)
        modes = termios.tcgetattr(descriptor)
        modes[4] = modes[5] = speed
        termios.tcsetattr(descriptor, termios.TCSANOW, modes)
    except termios.error as error:
        os.close(descriptor)
        raise MeterError(f"{source} is not a serial line ({error})") from error
    return Lines(lambda count: os.read(descriptor, count), lambda: os.close(descriptor), source)


class Changes:
    """Time between two changes of what an instrument says: the mean over all so far."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first_s = self._last_s = 0.0
        self._count = 0
        self._value: float | None = None

    def note(self, value: float) -> None:
        """A value came now."""
        if value == self._value:
            return
        self._value, self._last_s = value, self._clock()
        if not self._count:
            self._first_s = self._last_s
        self._count += 1

    @property
    def period_s(self) -> float | None:
        """Seconds; None before the third change."""
        return (self._last_s - self._first_s) / (self._count - 1) if self._count >= 3 else None


def _nothing() -> None:
    pass
