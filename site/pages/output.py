"""The folder that a build writes: filled beside its place, then swapped in whole."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

from oildrop.rules.errors import UsageError

MARKER = ".oildrop-site"
"""The file by which a folder is known to be a page that we built, and so may be replaced."""


class Output:
    """Files of one build; `with` swaps them in at the end, or leaves the old folder as it was.

    Raises:
        UsageError: On entering, when `out` is a file, or a folder with anything in it that is not a page of ours.
    """

    def __init__(self, out: Path) -> None:
        self._out = out.absolute()
        unique = f"{os.getpid()}-{secrets.token_hex(3)}"
        self._root = self._out.with_name(f"{self._out.name}.tmp-{unique}")
        self._old = self._out.with_name(f"{self._out.name}.old-{unique}")
        self._folders: set[str] = {""}
        self.pages = 0

    def __enter__(self) -> Self:
        _refuse_foreign(self._out)
        self._out.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(self._out)
        self._root.mkdir()
        self._lock = os.open(self._root, os.O_RDONLY)
        with contextlib.suppress(OSError):  # a file system without locks: the number in the name has to do
            fcntl.flock(self._lock, fcntl.LOCK_SH)
        self.write(MARKER, "oildrop.site/1\n")
        return self

    def write(self, path: str, text: str) -> None:
        """Write `text` as UTF-8 to `path` (relative, `/` between parts); a lone surrogate is replaced."""
        folder = path.rpartition("/")[0]
        if folder not in self._folders:
            (self._root / folder).mkdir(parents=True, exist_ok=True)
            self._folders.add(folder)
        data = text.encode("utf-8", "replace")
        target = os.open(f"{self._root}/{path}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            while data:
                data = data[os.write(target, data) :]
        finally:
            os.close(target)
        self.pages += path.endswith(".html")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)
        if kind is not None:
            shutil.rmtree(self._root, ignore_errors=True)
            return
        replacing = self._out.exists()
        if replacing:
            self._out.rename(self._old)
        try:
            self._root.rename(self._out)
        except OSError:
            if replacing:
                self._old.rename(self._out)
            raise
        shutil.rmtree(self._old, ignore_errors=True)


def _remove_leftovers(out: Path) -> None:
    """Remove what builds of `out` left behind that were killed; an old page stays while no other stands at `out`."""
    kinds = "tmp|old" if out.exists() else "tmp"
    name = re.compile(rf"{re.escape(out.name)}\.(?:{kinds})-(\d+)-[0-9a-f]{{6}}")
    for folder in list(out.parent.iterdir()):
        found = name.fullmatch(folder.name)
        if found and folder.is_dir() and not folder.is_symlink() and not (_is_alive(int(found[1])) or _is_held(folder)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    """Whether a process of this machine has the number `pid`; a number that cannot be asked about counts as one."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _is_held(folder: Path) -> bool:
    """Whether a build holds `folder` whose process has no number here, as one in another container."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _refuse_foreign(out: Path) -> None:
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UsageError(f"{out} is not a folder; name a folder that does not exist yet with --out")
    if out.is_dir() and any(out.iterdir()) and not (out / MARKER).is_file():
        raise UsageError(
            f"{out} holds files but no {MARKER}, so it is no page built here; name another folder with --out"
        )
