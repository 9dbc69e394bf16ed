"""Which runs still have a supervisor: each holds a file lock for its run's whole life.

The kernel drops the lock with the process, however it dies, so a run without seal whose
lock is free has lost its supervisor. The lock is taken before `spec.json` exists.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from oildrop.rules.errors import StoreError

PROBE_PATIENCE_S = 2.0


class RunLock:
    """Held by a run's supervisor as a context manager; the file stays until `remove`.

    A child made by plain `fork` would inherit the lock; spawned programs do not.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def __enter__(self) -> RunLock:
        """Take the lock. Raises StoreError when another supervisor holds it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        if not _locked(descriptor, fcntl.LOCK_EX, patience_s=PROBE_PATIENCE_S):
            holder = os.read(descriptor, 32).decode(errors="replace").strip()
            os.close(descriptor)
            raise StoreError(f"{self._path} is held by process {holder}: that run is going on; use another run id")
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor
        return self

    def remove(self) -> None:
        """Remove the file once the run is sealed; the lock itself is held until exit."""
        self._path.unlink(missing_ok=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_alive(path: Path) -> bool:
    """Whether a supervisor holds the lock file `path`; a missing file is nobody's."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not _locked(descriptor, fcntl.LOCK_SH, patience_s=0.0)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, how: int, *, patience_s: float) -> bool:
    """Try to take the lock; a short patience outlasts another process's probe."""
    give_up = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up:
                return False
            time.sleep(0.01)
        else:
            return True
