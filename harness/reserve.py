"""A file that keeps space for the last words: freed when the disk is full, so that the end is recorded."""

from __future__ import annotations

import errno
import os
from pathlib import Path

RESERVE_BYTES = 2 * 2**20
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def is_disk_full(error: OSError) -> bool:
    """Whether `error` says that the disk or the quota is full."""
    return error.errno in FULL


def keep_reserve(path: Path) -> bool:
    """Make the reserve where it is missing; False when there is no space for it."""
    if path.exists() and path.stat().st_size >= RESERVE_BYTES:
        return True
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            # Random bytes: a compressing or sparse file system would keep no space for zeros.
            file.write(os.urandom(RESERVE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if not is_disk_full(error):
            raise
        path.unlink(missing_ok=True)
        return False
    return True


def free_reserve(path: Path) -> None:
    """Give the reserved space back to the disk."""
    path.unlink(missing_ok=True)
