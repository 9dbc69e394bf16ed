"""The cache of fetched files: content-addressed, so that a name or a place never decides what the bytes are.

A file lies at `sha256/<its hash>`; beside it, while it is fetched, `.part` (what has arrived) and `.lock`.
Everything in the cache is ours and may be deleted by anybody at any time while no run is going on.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from oildrop.rules.data_manifest import FileCopy
from oildrop.rules.errors import OildropError

CACHE_VARIABLE = "OILDROP_CACHE"


@dataclass(frozen=True, kw_only=True)
class Cache:
    """A cache folder, made when first written to.

    Attributes:
        free_bytes: Free space of the file system that holds a folder, bytes.
    """

    folder: Path
    free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free

    def path_of(self, sha256: str) -> Path:
        """Where the file with this hash lies, or would."""
        return self.folder / "sha256" / sha256

    def find(self, copy: FileCopy) -> Path | None:
        """The cached file, its bytes checked; None when absent. One that has decayed is removed."""
        path = self.path_of(copy.sha256)
        if not path.is_file():
            return None
        if mismatch(path, copy) is None:
            return path
        path.unlink(missing_ok=True)
        return None

    @contextmanager
    def only_writer(self, path: Path) -> Iterator[None]:
        """Hold the lock of `path`, waiting for whoever is making the same file.

        Raises:
            OildropError: The folder cannot be made or written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path.with_name(f"{path.name}.lock"))
            lock.acquire()
        except OSError as error:
            raise OildropError(
                f"the cache folder cannot be written ({error.strerror}): set {CACHE_VARIABLE} to one that can"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def require_space(self, needed_bytes: int, what: str) -> None:
        """Raise OildropError unless `needed_bytes` more fit into the existing cache folder."""
        free = self.free_bytes(self.folder)
        if needed_bytes > free:
            raise no_space(what, needed_bytes, free)


def no_space(what: str, needed_bytes: int, free_bytes: int) -> OildropError:
    """The error for a cache that cannot take `what`."""
    return OildropError(
        f"no space for {what}: {needed_bytes:,} bytes are needed, {free_bytes:,} are free in the cache folder; "
        f"free some, or set {CACHE_VARIABLE} to a folder on a larger disk"
    )


def default_cache() -> Cache:
    """$OILDROP_CACHE, else $XDG_CACHE_HOME/oildrop, else ~/.cache/oildrop."""
    own, shared = os.environ.get(CACHE_VARIABLE), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Cache(folder=Path(own))
    return Cache(folder=(Path(shared) if shared else Path.home() / ".cache") / "oildrop")


def mismatch(path: Path, copy: FileCopy) -> str | None:
    """In words, how the bytes of `path` differ from `copy`; None when they do not."""
    size = path.stat().st_size
    if size != copy.bytes:
        return f"{size:,} bytes found, {copy.bytes:,} expected"
    found = file_sha256(path)
    return None if found == copy.sha256 else f"SHA-256 {found} found, {copy.sha256} expected"


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
