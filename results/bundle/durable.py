"""Writing that survives a crash, a power cut and a full disk."""

from __future__ import annotations

import os
from pathlib import Path

from oildrop.results.bundle.names import PARTIAL


def write_durably(path: Path, data: bytes) -> None:
    """Put `data` at `path` whole or not at all, and have it on disk on return. Raises OSError."""
    partial = path.with_name(path.name + PARTIAL)
    with open(partial, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Have the names in `directory` on disk."""
    _sync(directory, os.O_RDONLY | os.O_DIRECTORY)


def sync_file(path: Path) -> None:
    """Have the content of `path` on disk."""
    _sync(path, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class AppendFile:
    """A new file that grows by whole pieces; a piece that failed half-way is cut off again.

    Attributes:
        length_bytes: Length of all whole pieces.
    """

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self._descriptor = os.open(path, flags, 0o644)
        self.length_bytes = 0
        self._torn = False
        self._open = True

    def append(self, piece: bytes) -> None:
        """Hand `piece` to the operating system. Raises OSError (then nothing of it counts)."""
        if not self._open:
            raise ValueError("the file is closed")
        self._mend()
        self._torn = True
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        self.length_bytes += len(piece)
        self._torn = False

    def sync(self) -> None:
        """Have all pieces on disk."""
        os.fsync(self._descriptor)

    def close(self, *, ending: bytes = b"") -> None:
        """Append `ending`, sync and close; does nothing once it has succeeded. Raises OSError and may be repeated."""
        if self._open:
            self.append(ending)
            self.sync()
            self._open = False
            os.close(self._descriptor)

    def _mend(self) -> None:
        if self._torn:
            os.ftruncate(self._descriptor, self.length_bytes)
            self._torn = False
