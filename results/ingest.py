"""From bundles to the index: read, judge, write. The judge's only caller."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from oildrop.results.adopt import adopt_bundles, opened
from oildrop.results.bundle import names
from oildrop.results.bundle.archive import bundles_in
from oildrop.results.bundle.read import BundleContents, read_contents, read_run_id
from oildrop.results.layout import StoreLayout
from oildrop.results.liveness import is_alive
from oildrop.results.rebuild import fresh_index
from oildrop.results.rows import KeptDigest, PackedRun, RunRow, StoredRow
from oildrop.results.store import reading, writing
from oildrop.results.tables import JudgedRun, drop_runs_except, write_batch, write_unreadable
from oildrop.rules.case import Case
from oildrop.rules.digest import RunDigest, digest_case
from oildrop.rules.errors import BundleError, RulebookError
from oildrop.rules.evidence import Evidence, Problem
from oildrop.rules.judge import judge_case
from oildrop.rules.loading import load_rulebook, parse_rulebook
from oildrop.rules.phases import IDLE
from oildrop.rules.records import Judgement
from oildrop.rules.rulebook import Rulebook

BATCH_RUNS = 1000
"""Runs written in one opening of the index."""

POOL_FROM_RUNS = 64
"""Under this, starting processes takes longer than judging."""

CHUNK_RUNS = 16
"""Runs handed to a process at a time."""

KEPT_RULEBOOKS = 16

Progress = Callable[[int, int], None]
"""Told the runs done and the runs in all."""


def judge_bundle(path: Path, *, supervisor_alive: bool = False) -> tuple[Evidence, Judgement]:
    """Evidence and judgement of the bundle at `path` (folder or `.tar.gz`), under its own rulebook.

    Raises:
        BundleError: There is not exactly one bundle there, or nobody can say which run it is of.
    """
    with opened(path) as folder:
        found = bundles_in(folder)
        if len(found) > 1:
            raise BundleError(f"{path} holds {len(found)} bundles; check them one at a time")
        evidence, rulebook = _under_rulebook(read_contents(found[0], supervisor_alive=supervisor_alive))
    return evidence, _judge(Case(evidence, rulebook))


def ingest_runs(layout: StoreLayout, run_dirs: Iterable[Path]) -> list[RunRow]:
    """Judge the bundles in `run_dirs` (folders under `runs/`) and put them into the index.

    Doing it again changes nothing. A folder of which nobody can say which run it is does not
    stop the others: `views.unreadable_bundles` names it.

    Raises:
        StoreError: The index cannot be written; the bundles are safe and enter it later.
    """
    return [judged.row for judged in _ingest(layout, list(run_dirs), layout.database)]


def ingest_bundles(layout: StoreLayout, paths: Iterable[Path]) -> list[RunRow]:
    """Copy foreign bundles into the store, judge them and put them into the index.

    Raises:
        BundleError: One is no bundle, or differs from the store's run of the same id.
        StoreError: The index cannot be written.
    """
    return ingest_runs(layout, adopt_bundles(layout, paths))


def refresh(layout: StoreLayout) -> list[RunRow]:
    """Bring the index up to date with `runs/`; every reader calls it first. Returns the runs that changed.

    New folders come in, runs that were going on are judged again once they are sealed or their
    supervisor is dead. It costs one listing of `runs/` when there is nothing to do.
    """
    return ingest_runs(layout, _due(layout))


def rebuild(layout: StoreLayout, progress: Progress | None = None) -> int:
    """Make the index anew from `runs/`, judging every run again; returns how many there are.

    Raises:
        StoreError: Another process holds the index, or the disk is full.
    """
    layout.ensure()
    with fresh_index(layout.database) as database:
        run_ids = [judged.row.run_id for judged in _ingest(layout, _run_dirs(layout), database, progress)]
        with writing(database) as connection:
            drop_runs_except(connection, run_ids)
    return len(run_ids)


def _due(layout: StoreLayout) -> list[Path]:
    """Folders whose rows are missing or may have changed."""
    present = _run_dirs(layout)
    if not layout.database.exists():
        return present
    with reading(layout.database) as connection:
        sealed = dict(connection.execute("SELECT run_id, sealed FROM runs").fetchall())
        started = {r for (r,) in connection.execute("SELECT run_id FROM results WHERE outcome = 'started'").fetchall()}
        unreadable = {folder for (folder,) in connection.execute("SELECT folder FROM unreadable").fetchall()}

    def is_due(folder: Path) -> bool:
        known = sealed.get(folder.name)
        if known is None:
            return _is_readable(folder) if folder.name in unreadable else not _is_being_made(layout, folder)
        return not known and (_seal_exists(folder) or (folder.name in started and _is_dead(layout, folder)))

    return [folder for folder in present if is_due(folder)]


def _is_readable(folder: Path) -> bool:
    try:
        return read_run_id(folder) == folder.name
    except BundleError:
        return False


def _is_being_made(layout: StoreLayout, folder: Path) -> bool:
    """Whether its supervisor lives and has not registered it yet."""
    return not (folder / names.SPEC).exists() and not _is_dead(layout, folder)


def _seal_exists(folder: Path) -> bool:
    return (folder / names.SEAL).exists()


def _is_dead(layout: StoreLayout, folder: Path) -> bool:
    return not is_alive(layout.lock_file(folder.name))


def _run_dirs(layout: StoreLayout) -> list[Path]:
    """Every run's folder, oldest first."""
    if not layout.runs.is_dir():
        return []
    with os.scandir(layout.runs) as entries:
        return [layout.runs / name for name in sorted(e.name for e in entries if e.is_dir(follow_symlinks=False))]


def _ingest(
    layout: StoreLayout, run_dirs: list[Path], database: Path, progress: Progress | None = None
) -> Iterator[JudgedRun]:
    """Judge and write batch after batch, handing out each run once it is in the index."""
    done = 0
    packed_runs = _pack_all([_Task(folder, layout.lock_file(folder.name)) for folder in dict.fromkeys(run_dirs)])
    while batch := list(islice(packed_runs, BATCH_RUNS)):
        judged = [JudgedRun(found, _row(found)) for found in batch if isinstance(found, PackedRun)]
        unreadable = {found.folder: found.message for found in batch if isinstance(found, _Unreadable)}
        layout.ensure()
        with writing(database) as connection:
            write_batch(connection, judged, _now_utc())
            write_unreadable(connection, unreadable)
        done += len(batch)
        if progress:
            progress(done, len(run_dirs))
        yield from judged


class _Task(NamedTuple):
    folder: Path
    lock_file: Path


class _Unreadable(NamedTuple):
    folder: str
    message: str


def _pack_all(tasks: Sequence[_Task]) -> Iterator[PackedRun | _Unreadable]:
    cores = _cores()
    if len(tasks) < POOL_FROM_RUNS or cores < 2:
        yield from map(_pack, tasks)
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    context = get_context("forkserver")
    context.set_forkserver_preload([__name__, "oildrop.rules.judge", "pyarrow"])  # imported once for all workers
    with ProcessPoolExecutor(max_workers=cores, mp_context=context) as pool:
        yield from pool.map(_pack, tasks, chunksize=CHUNK_RUNS)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _pack(task: _Task) -> PackedRun | _Unreadable:
    """Read and judge one bundle of the store."""
    alive = is_alive(task.lock_file)
    try:
        contents = read_contents(task.folder, supervisor_alive=alive)
    except BundleError as error:
        return _Unreadable(names.printable(task.folder.name), str(error))
    spec = contents.evidence.spec
    if spec.run_id != task.folder.name:
        message = (
            f"{task.folder} holds run {spec.run_id}, whose folder bears that name; move it and `oildrop ingest` it"
        )
        return _Unreadable(names.printable(task.folder.name), message)
    evidence, rulebook = _under_rulebook(contents)
    case = Case(evidence, rulebook)
    digest = digest_case(case)
    return PackedRun(
        spec_json=spec.model_dump_json(by_alias=True),
        system_json=evidence.system.model_dump_json(by_alias=True) if evidence.system else None,
        judgement_json=_judge(case).model_dump_json(),
        digest_json=digest.model_dump_json(),
        sealed=evidence.sealed,
        bundle_id=contents.bundle_id,
        elapsed_s=_elapsed_s(digest),
    )


def _elapsed_s(digest: RunDigest) -> float | None:
    """From the supervisor's start to the end of the last phase, idle time around the run left out."""
    idle_ns = sum(span.stop_ns - span.start_ns for span in digest.phases if span.name == IDLE)
    return (max((span.stop_ns for span in digest.phases), default=0) - idle_ns) / 1e9 or None


def _row(packed: PackedRun) -> RunRow:
    return StoredRow(packed, KeptDigest(packed.digest_json))


def _under_rulebook(contents: BundleContents) -> tuple[Evidence, Rulebook]:
    """The rulebook that the run carries; the shipped one, and a problem, where that cannot be read."""
    evidence = contents.evidence
    try:
        rulebook = _parsed(contents)
    except RulebookError as error:
        reason = str(error)
    else:
        if evidence.spec.benchmark in rulebook.benchmarks:
            return evidence, rulebook
        reason = f"says nothing of {evidence.spec.benchmark}"
    problem = Problem(file=names.RULEBOOK, message=f"{reason}; judged under the rulebook of this Oildrop")
    return replace(evidence, problems=(*evidence.problems, problem)), load_rulebook()


_rulebooks: dict[tuple[tuple[str, str], ...], Rulebook] = {}
"""Parsed rulebooks by the hashes of their files: bundles of one rulebook share one parse."""


def _parsed(contents: BundleContents) -> Rulebook:
    hashes = contents.evidence.rulebook_files
    if hashes not in _rulebooks:
        if len(_rulebooks) >= KEPT_RULEBOOKS:
            _rulebooks.clear()
        _rulebooks[hashes] = parse_rulebook(contents.rulebook)
    return _rulebooks[hashes]


def _judge(case: Case) -> Judgement:
    return judge_case(case)


def _now_utc() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
