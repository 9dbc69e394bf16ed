"""Where the files of one store lie."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from oildrop.rules.errors import StoreError

DEFAULT_STORE = "oildrop-store"
STORE_VARIABLE = "OILDROP_STORE"


@dataclass(frozen=True)
class StoreLayout:
    """The paths of the store at `root`; nothing is created until `ensure`."""

    root: Path

    @property
    def database(self) -> Path:
        """The index, derived from `runs`."""
        return self.root / "oildrop.duckdb"

    @property
    def runs(self) -> Path:
        """One folder a run: the source of truth."""
        return self.root / "runs"

    @property
    def locks(self) -> Path:
        """One file a live supervisor."""
        return self.root / "locks"

    @property
    def incoming(self) -> Path:
        """Foreign bundles while they are copied, on the same file system as `runs`."""
        return self.root / "incoming"

    @property
    def calibration(self) -> Path:
        """The harness's own cost on this host."""
        return self.root / "calibration.json"

    @property
    def canary(self) -> Path:
        """What the canary took before earlier runs on this host."""
        return self.root / "canary.json"

    @property
    def reserve(self) -> Path:
        """Space that is freed to record a run's end on a full disk."""
        return self.root / "reserve.bin"

    def run_dir(self, run_id: str) -> Path:
        """The bundle of `run_id`."""
        return self.runs / run_id

    def lock_file(self, run_id: str) -> Path:
        """The lock that the supervisor of `run_id` holds."""
        return self.locks / f"{run_id}.lock"

    def ensure(self) -> None:
        """Create the store's folders. Raises StoreError when that is not possible."""
        try:
            for folder in (self.root, self.runs, self.locks):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"the store {self.root} cannot be created ({error.strerror}: {error.filename}); "
                f"choose another folder with --store or ${STORE_VARIABLE}"
            ) from error


def store_layout(option: Path | None) -> StoreLayout:
    """The store to use: `option` (--store), else $OILDROP_STORE, else ./oildrop-store."""
    chosen = option or os.environ.get(STORE_VARIABLE) or DEFAULT_STORE
    return StoreLayout(Path(chosen).expanduser().absolute())
