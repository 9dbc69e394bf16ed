"""One file over HTTP into a `.part` file: resumed after a dropped connection, tried a bounded number of times."""

from __future__ import annotations

import errno
import http.client
import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CHUNK_BYTES = 1 << 20
RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE = 206, 416


class Unavailable(Exception):
    """A place does not give the file: why, in words."""


class WrongBytes(Exception):
    """A place gives other bytes than the manifest names: found and expected, in words."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a place is tried.

    Attributes:
        attempts: Requests in a row without a byte more than before, until it is given up.
        first_wait_s: Wait after the first of them; it doubles each time.
        timeout_s: Longest silence of the server, seconds.
    """

    attempts: int = 4
    first_wait_s: float = 0.5
    timeout_s: float = 20.0
    sleep: Callable[[float], None] = time.sleep


def download(url: str, part: Path, expected_bytes: int, patience: Patience) -> None:
    """Fill `part` up to `expected_bytes` from `url`; bytes that it already holds are asked for only if need be.

    Raises:
        Unavailable: No such file, no such server, or none that lasts.
        WrongBytes: The server's file has another length.
        OSError: The part cannot be written (its errno says why).
    """
    furthest, fruitless = _size(part), 0
    while True:
        try:
            _request(url, part, expected_bytes, patience.timeout_s)
            return
        except urllib.error.HTTPError as error:
            error.close()
            reason = f"HTTP {error.code} {error.reason}"
            if error.code == RANGE_NOT_SATISFIABLE:
                part.unlink(missing_ok=True)
            elif error.code not in RETRIED_STATUS:
                raise Unavailable(reason) from error
        except (ConnectionError, TimeoutError, urllib.error.URLError, http.client.HTTPException) as error:
            reason = _reason(error)
            if _is_nobody_there(error):
                raise Unavailable(reason) from error
        fruitless = 0 if _size(part) > furthest else fruitless + 1
        furthest = max(furthest, _size(part))
        if fruitless >= patience.attempts:
            raise Unavailable(f"{reason}, {furthest:,} of {expected_bytes:,} bytes after {fruitless} tries in vain")
        patience.sleep(patience.first_wait_s * 2 ** max(0, fruitless - 1))


def _request(url: str, part: Path, expected_bytes: int, timeout_s: float) -> None:
    """One request for what `part` lacks; a server that ignores the range starts the part over."""
    have = _size(part)
    if have == expected_bytes:
        return
    if have > expected_bytes:
        part.unlink()
        have = 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=timeout_s) as response:
        resumed = response.status == PARTIAL_CONTENT
        total = _total_bytes(response, have if resumed else 0)
        if total is not None and total != expected_bytes:
            raise WrongBytes(f"{total:,} bytes offered, {expected_bytes:,} expected")
        with part.open("ab" if resumed else "wb") as file:
            while _size(part) <= expected_bytes and (chunk := _read(response)):
                file.write(chunk)
                file.flush()
    if _size(part) > expected_bytes:
        part.unlink()
        raise WrongBytes(f"more than the {expected_bytes:,} bytes expected")
    if _size(part) < expected_bytes:
        raise ConnectionError(errno.ECONNRESET, "connection closed early")


def _read(response: http.client.HTTPResponse) -> bytes:
    """What has arrived; its errors are told apart from those of the disk."""
    try:
        return response.read1(CHUNK_BYTES)
    except OSError as error:
        raise ConnectionError(error.errno, error.strerror or str(error)) from error


def _total_bytes(response: http.client.HTTPResponse, have: int) -> int | None:
    """Length of the whole file as the server states it; None when it does not.

    Raises:
        http.client.HTTPException: A partial answer begins elsewhere than asked for.
    """
    if response.status != PARTIAL_CONTENT:
        length = response.headers.get("Content-Length", "")
        return int(length) if length.isdigit() else None
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if not found or int(found[1]) != have:
        raise http.client.HTTPException(f"a range from byte {have} was asked for and another sent")
    return int(found[2]) if found[2].isdigit() else None


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _cause(error: BaseException) -> object:
    return error.reason if isinstance(error, urllib.error.URLError) else error


def _reason(error: BaseException) -> str:
    cause = _cause(error)
    return (cause.strerror if isinstance(cause, OSError) else None) or str(cause) or type(cause).__name__


def _is_nobody_there(error: BaseException) -> bool:
    """Whether there is no such name, or nobody listens: waiting would not help."""
    return isinstance(_cause(error), socket.gaierror | ConnectionRefusedError)
