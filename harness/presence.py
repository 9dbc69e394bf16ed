"""Who else measures on this machine: one locked file a live run, whatever its store.

Two runs on one device at once disturb each other; both see the other here and both are flagged.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from oildrop.results.liveness import RunLock, is_alive


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """Another live run: its id and the device that it uses."""

    run_id: str
    device: str


def presence_folder() -> Path:
    """The folder of this user's live runs on this machine."""
    return Path(tempfile.gettempdir()) / f"oildrop-live-{os.getuid()}"


class Presence:
    """Announces one run on one device while the context lasts."""

    def __init__(self, run_id: str, device: str, folder: Path | None = None) -> None:
        self._folder = folder or presence_folder()
        self._run_id = run_id
        self._device = device
        self._lock = RunLock(self._folder / f"{run_id}.lock")

    def __enter__(self) -> Self:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._lock.__enter__()
        note = json.dumps({"run_id": self._run_id, "device": self._device})
        (self._folder / f"{self._run_id}.json").write_text(note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        (self._folder / f"{self._run_id}.json").unlink(missing_ok=True)
        self._lock.__exit__(kind, error, trace)

    def neighbours(self) -> list[Neighbour]:
        """Live runs on the same device, this one left out; a dead run's note is passed over."""
        found = []
        for note in self._folder.glob("*.json"):
            if note.stem == self._run_id or not is_alive(note.with_suffix(".lock")):
                continue
            try:
                fields = json.loads(note.read_text())
            except (OSError, ValueError):
                continue
            if fields.get("device") == self._device:
                found.append(Neighbour(run_id=str(fields["run_id"]), device=self._device))
        return found
