"""Show a built page in a browser on this machine; nobody else can reach it."""

from __future__ import annotations

import functools
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from oildrop.rules.errors import UsageError
from oildrop.site.pages.output import MARKER

HOST = "127.0.0.1"


class _Quiet(SimpleHTTPRequestHandler):
    """Serves files without a line a request."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: libraries do not print."""


def open_server(directory: Path, port: int) -> ThreadingHTTPServer:
    """A server of `directory` that listens on 127.0.0.1 only; port 0 takes a free one (see `server_port`).

    Raises:
        UsageError: `directory` is no page built here, or the port is taken.
    """
    if not (directory / MARKER).is_file():
        raise UsageError(f"{directory} is not a page built here; run `oildrop site build --out {directory}` first")
    try:
        return ThreadingHTTPServer((HOST, port), functools.partial(_Quiet, directory=str(directory)))
    except (OSError, OverflowError) as error:
        raise UsageError(f"port {port} cannot be opened on {HOST}: {error}; choose another with --port") from error


def serve(directory: Path, port: int) -> None:
    """Serve `directory` until interrupted (KeyboardInterrupt passes through). Raises UsageError as `open_server`."""
    with open_server(directory, port) as server:
        server.serve_forever()
