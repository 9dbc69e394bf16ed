"""Writing a bundle: registration, the chain, and a disk that fills up."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from oildrop.results.bundle.read import read_bundle
from oildrop.results.bundle.samples import write_evaluations
from oildrop.results.bundle.telemetry import TelemetryRow
from oildrop.results.bundle.write import BundleWriter
from oildrop.rules.errors import BundleError
from oildrop.rules.evidence import EvaluationTable

WHEN = {"utc": "2026-11-22T12:00:00.000000Z", "proc": "supervisor"}


@pytest.fixture
def writer(synthetic: Any, make_bundle: Any, tmp_path: Path) -> BundleWriter:
    evidence = read_bundle(make_bundle(outcome="unsupported"))
    return BundleWriter.create(tmp_path / "bundle", evidence.spec, evidence.system, {"rules.toml": b"a = 1\n"})


def test_run_is_registered_with_spec_system_and_rulebook(writer: BundleWriter) -> None:
    found = read_bundle(writer.path)
    assert found.spec.benchmark == "lm-pretrain"
    assert found.system is not None
    assert found.rulebook_files == (("rules.toml", hashlib.sha256(b"a = 1\n").hexdigest()),)
    assert not found.sealed and not found.problems and not found.events
    writer.close()


def test_registration_is_on_disk_before_anything_else(
    make_bundle: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = read_bundle(make_bundle(outcome="unsupported"))
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    writer = BundleWriter.create(tmp_path / "runs" / "b", evidence.spec, evidence.system, {"rules.toml": b""})
    assert synced[:3] == ["spec.json.tmp", "b", "runs"]
    assert synced[3:] == ["system.json.tmp", "b", "rules.toml.tmp", "rulebook", "b"]
    writer.close()


def test_a_run_id_is_used_once(writer: BundleWriter) -> None:
    evidence = read_bundle(writer.path)
    with pytest.raises(BundleError, match="exists already"):
        BundleWriter.create(writer.path, evidence.spec, evidence.system, {})
    writer.close()


def test_each_line_holds_the_hash_of_the_one_before(writer: BundleWriter) -> None:
    for number in range(3):
        writer.append(key="heartbeat", value=number, t_ns=number, **WHEN)
    lines = (writer.path / "events.jsonl").read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line)["prev"] for line in lines] == [
        "0" * 64,
        hashlib.sha256(lines[0]).hexdigest(),
        hashlib.sha256(lines[1]).hexdigest(),
    ]
    writer.close()


def test_nan_is_refused_and_leaves_no_trace(writer: BundleWriter) -> None:
    with pytest.raises(ValueError):
        writer.append(key="eval_accuracy", value=float("nan"), t_ns=0, **WHEN)
    writer.append(key="eval_accuracy", value="nan", t_ns=0, **WHEN)
    assert [event.seq for event in read_bundle(writer.path).events] == [0]
    writer.close()


class FullDisk:
    """`os.write` on a disk with `room` bytes left."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.real = os.write

    def __call__(self, descriptor: int, data: Any) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self.real(descriptor, bytes(data)[: self.room])
        self.room -= written
        return written


def test_full_disk_leaves_a_valid_log_that_goes_on_when_there_is_room(
    writer: BundleWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.append(key="init_start", t_ns=1, **WHEN)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", FullDisk(room=40))
        with pytest.raises(OSError, match="No space left"):
            writer.append(key="run_start", t_ns=2, **WHEN)
    torn = read_bundle(writer.path)
    assert [event.key for event in torn.events] == ["init_start"] and torn.clipped_bytes == 40
    writer.append(key="outcome", value="crash", meta={"reason": "disk_full"}, t_ns=3, **WHEN)
    whole = read_bundle(writer.path)
    assert [event.key for event in whole.events] == ["init_start", "outcome"]
    assert whole.clipped_bytes == 0 and not whole.problems
    writer.seal()
    assert not read_bundle(writer.path).problems


@pytest.mark.parametrize("room", [0, 3, 100, 500])
def test_full_disk_leaves_valid_telemetry(writer: BundleWriter, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    rows = [TelemetryRow(t, "process", "cpu_s", "worker", "process", float(t)) for t in range(5)]
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", FullDisk(room))
        with pytest.raises(OSError, match="No space left"):
            writer.append_telemetry(rows)
    writer.append_telemetry(rows[3:])
    writer.seal()
    found = read_bundle(writer.path)
    assert not found.problems and found.series[0].t_ns == (3, 4)


def test_once_loaded_telemetry_loads_no_more_modules() -> None:
    code = """
import sys
from oildrop.results.bundle import telemetry
telemetry.load_telemetry()
known = set(sys.modules)
telemetry.encode_header()
telemetry.encode_rows([telemetry.TelemetryRow(1, "process", "resident_bytes", "", "process", 2.0)])
print(sorted(set(sys.modules) - known))
"""
    asked = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert asked.stdout == "[]\n"


def test_sealing_can_be_repeated_after_a_full_disk(writer: BundleWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    writer.append_telemetry([TelemetryRow(0, "process", "cpu_s", "worker", "process", 1.0)])
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", FullDisk(room=3))
        with pytest.raises(OSError, match="No space left"):
            writer.seal()
    writer.seal()
    found = read_bundle(writer.path)
    assert found.sealed and not found.problems and found.series[0].values == (1.0,)


def test_a_chunk_is_announced_by_hash_rows_and_range(writer: BundleWriter) -> None:
    tables = [
        EvaluationTable(samples=s, loss_nats=(1.0, 2.0), source_nats=(0.5, 0), token_count=(3, 4), correct_count=(1, 2))
        for s in (480, 960)
    ]
    write_evaluations(writer.path / "samples" / "0000.arrow", tables)
    meta = writer.add_chunk("samples/0000.arrow")
    data = (writer.path / "samples" / "0000.arrow").read_bytes()
    assert meta == {
        "file": "samples/0000.arrow",
        "sha256": hashlib.sha256(data).hexdigest(),
        "rows": 4,
        "first_samples": 480,
        "last_samples": 960,
    }
    writer.close()


def test_a_chunk_that_changes_after_its_event_is_named(writer: BundleWriter) -> None:
    table = EvaluationTable(samples=1, loss_nats=(1.0,), source_nats=(0.0,), token_count=(1,), correct_count=(1,))
    path = writer.path / "samples" / "0000.arrow"
    write_evaluations(path, [table])
    writer.append(key="chunk", meta=writer.add_chunk("samples/0000.arrow"), t_ns=0, **WHEN)
    assert not read_bundle(writer.path).problems
    write_evaluations(path, [table, table])
    [problem] = read_bundle(writer.path).problems
    assert problem.file == "samples/0000.arrow" and "changed since event 0 (line 1)" in problem.message
    path.unlink()
    [problem] = read_bundle(writer.path).problems
    assert problem.file == "samples/0000.arrow" and "missing" in problem.message
    writer.close()


def test_an_unfinished_chunk_is_not_sealed(writer: BundleWriter) -> None:
    (writer.path / "samples").mkdir()
    (writer.path / "samples" / "0000.arrow.tmp").write_bytes(b"half")
    assert not read_bundle(writer.path).problems
    writer.seal()
    assert not read_bundle(writer.path).problems
    assert not list((writer.path / "samples").iterdir())


def test_writing_after_the_seal_is_refused(writer: BundleWriter) -> None:
    writer.seal()
    with pytest.raises(ValueError, match="closed"):
        writer.append(key="heartbeat", t_ns=0, **WHEN)
