"""A cache, manifests and a small HTTP server of our own."""

from __future__ import annotations

import gzip
import hashlib
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from oildrop.rules.data_manifest import DataFile, FileCopy, Manifest, Origin
from oildrop.workloads.corpus.cache import Cache
from oildrop.workloads.corpus.download import Patience


@dataclass
class Served:
    """What the server holds, how it behaves, and what it was asked: (path, range) in order."""

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    drops_after: list[int] = field(default_factory=list)
    ranges: bool = True
    statuses: list[int] = field(default_factory=list)
    pause_s: float = 0.0
    states_length: bool = True
    sends_from: int | None = None

    def url(self, name: str) -> str:
        return f"{self.address}/{name}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        self.asked.append((handler.path, wanted))
        body = self.files.get(handler.path.lstrip("/"))
        status = self.statuses.pop(0) if self.statuses else 404 if body is None else 200
        if status != 200 or body is None:
            handler.send_response(status)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        handler.send_response(206 if wanted and self.ranges else 200)
        if wanted and self.ranges:
            shown = start if self.sends_from is None else self.sends_from
            handler.send_header("Content-Range", f"bytes {shown}-{len(body) - 1}/{len(body)}")
        if self.states_length:
            handler.send_header("Content-Length", str(len(body) - start))
        handler.end_headers()
        rest = body[start:]
        sent = self.drops_after.pop(0) if self.drops_after else len(rest)
        for piece in range(0, min(sent, len(rest)), 4096):
            time.sleep(self.pause_s)
            handler.wfile.write(rest[piece : min(piece + 4096, sent)])
        handler.close_connection = True


@pytest.fixture
def served() -> Iterator[Served]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            holder.answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """A client that gives up is what some tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    holder = Served(address=f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield holder
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def no_data_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("OILDROP_DATA", "OILDROP_DATA_MANIFEST", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("OILDROP_CACHE", str(tmp_path / "default-cache"))


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(folder=tmp_path / "cache")


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def patience(waits: list[float]) -> Patience:
    """Short time limits, and waits that are noted instead of waited."""
    return Patience(timeout_s=0.3, sleep=waits.append)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def file_of(data: bytes, *urls: str, name: str = "file.bin", kind: str = "text", **more: Any) -> DataFile:
    return DataFile.model_validate(
        {"name": name, "kind": kind, "sha256": sha256(data), "bytes": len(data), "urls": urls, **more}
    )


def manifest_of(*files: Any, name: str = "toy", install: str = "apt install toy") -> Manifest:
    source = Origin(who="nobody", url="https://example.org")
    return Manifest(
        name=name, title="Toy", licence="MIT", source=source, version="1", date="2026-11-22", install=install,
        files=files,
    )  # fmt: skip


def copy_of(data: bytes, *urls: str) -> FileCopy:
    return FileCopy(sha256=sha256(data), bytes=len(data), urls=urls)


def idx(values: bytes, *shape: int, kind: int = 8) -> bytes:
    """An IDX file written by hand from the format's description."""
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, kind, len(shape), *shape) + values


def zipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


@pytest.fixture
def make() -> Any:
    """The helpers above, for test files (which cannot import each other)."""

    class Make:
        file, manifest, copy, idx, zipped, sha256 = map(
            staticmethod, (file_of, manifest_of, copy_of, idx, zipped, sha256)
        )

    return Make
