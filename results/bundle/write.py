"""Write one run's bundle: registered first, then an event chain, telemetry and chunks, sealed last."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from oildrop.results.bundle import names
from oildrop.results.bundle.chunks import describe_chunk
from oildrop.results.bundle.durable import AppendFile, sync_directory, sync_file, write_durably
from oildrop.results.bundle.seal import seal_bytes
from oildrop.results.bundle.telemetry import END_OF_STREAM, TelemetryRow, encode_header, encode_rows
from oildrop.rules.errors import BundleError
from oildrop.rules.events import GENESIS, Event, encode_event, line_sha256
from oildrop.rules.records import Record, RunSpec
from oildrop.rules.system import System


class BundleWriter:
    """The only writer of one run's folder; used by one thread at a time.

    An OSError (a full disk, say) passes through as it is. What was written before it stays
    valid, and writing may go on once there is room again.
    """

    def __init__(self, path: Path, run_id: str) -> None:
        self.path = path
        self._run_id = run_id
        self._events = AppendFile(path / names.EVENTS)
        self._telemetry: AppendFile | None = None
        self._next_seq = 0
        self._head = GENESIS

    @classmethod
    def create(cls, run_dir: Path, spec: RunSpec, system: System, rulebook_files: dict[str, bytes]) -> BundleWriter:
        """Register the run: its folder with spec, system and rulebook is on disk on return.

        Args:
            rulebook_files: Bytes by name relative to the rulebook's folder.

        Raises:
            BundleError: The folder exists; a run id is used once.
            OSError: The disk is full or cannot be written.
        """
        try:
            run_dir.mkdir(parents=True)
        except FileExistsError as error:
            raise BundleError(f"{run_dir} exists already; every run needs an id of its own") from error
        write_durably(run_dir / names.SPEC, _json_bytes(spec))
        sync_directory(run_dir.parent)
        write_durably(run_dir / names.SYSTEM, _json_bytes(system))
        for name, data in rulebook_files.items():
            target = run_dir / names.RULEBOOK / name
            target.parent.mkdir(parents=True, exist_ok=True)
            write_durably(target, data)
        writer = cls(run_dir, spec.run_id)
        sync_directory(run_dir)
        return writer

    def append(
        self, *, key: str, value: Any = None, meta: dict[str, Any] | None = None, t_ns: int, utc: str, proc: str
    ) -> Event:
        """Add one event to the chain and hand its line to the operating system.

        Raises:
            ValueError: A number is NaN or infinite; give `json_number` of it.
            OSError: The line could not be written; the chain ends before it.
        """
        event = Event(
            seq=self._next_seq, t_ns=t_ns, utc=utc, proc=proc, key=key, value=value, meta=meta or {}, prev=self._head
        )
        line = encode_event(event)
        self._events.append(line + b"\n")
        self._next_seq += 1
        self._head = line_sha256(line)
        return event

    def sync(self) -> None:
        """Have all events on disk."""
        self._events.sync()

    def append_telemetry(self, rows: Sequence[TelemetryRow]) -> None:
        """Add readings as one record batch. Raises OSError (then none of them counts)."""
        if not rows:
            return
        if self._telemetry is None:
            self._telemetry = AppendFile(self.path / names.TELEMETRY)
        if not self._telemetry.length_bytes:
            self._telemetry.append(encode_header())
        self._telemetry.append(encode_rows(rows))

    def add_chunk(self, name: str) -> dict[str, Any]:
        """What the `chunk` event says of the closed chunk `name` (such as `samples/0001.arrow`).

        Raises:
            BundleError: The chunk is damaged.
            OSError: It cannot be read.
        """
        path = self.path / name
        try:
            described = describe_chunk(path)
        except ValueError as error:
            raise BundleError(f"{name} {error}") from error
        return {"file": name, "sha256": _file_sha256(path), **described}

    def seal(self) -> str:
        """Close everything and write `seal.json` over exactly the files that lie here; returns the bundle id.

        A chunk that was never finished (`.tmp`) is removed: it was announced to nobody. After an OSError
        (no room for the seal) it may be called again.
        """
        self.close()
        for partial in self.path.glob(f"{names.SAMPLES}/*{names.PARTIAL}"):
            partial.unlink()
        hashes = {}
        for name, is_file in names.walk(self.path):
            if not is_file:
                raise BundleError(f"{self.path}: {name} is no plain file; only plain files can be sealed")
            sync_file(self.path / name)
            hashes[name] = _file_sha256(self.path / name)
        bundle_id, data = seal_bytes(self._run_id, hashes, self._head)
        write_durably(self.path / names.SEAL, data)
        return bundle_id

    def close(self) -> None:
        """Close all files without sealing; does nothing the second time."""
        self._events.close()
        if self._telemetry is not None:
            self._telemetry.close(ending=END_OF_STREAM)


def _json_bytes(record: Record) -> bytes:
    return record.model_dump_json(by_alias=True, indent=2).encode() + b"\n"


def _file_sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
