"""Runs out of the store in the forms that other programs read; nothing existing is overwritten."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from oildrop.results.adopt import PRIVATE
from oildrop.results.bundle import archive, names
from oildrop.results.bundle.read import read_bundle
from oildrop.results.document import runs_document
from oildrop.results.layout import StoreLayout
from oildrop.results.mllog import mllog_lines
from oildrop.results.rows import RunRow
from oildrop.results.wide import wide_table
from oildrop.rules.errors import UsageError

FORMATS = ("bundle", "json", "csv", "parquet", "mllog")


def export_runs(layout: StoreLayout, rows: Sequence[RunRow], format: str, out: Path) -> None:
    """Write `rows` to `out`, whole or not at all.

    - `bundle`: the bundle's folder without its private output.log; several runs become a folder of
      such folders; a name ending in `.tar.gz` packs one folder a run.
    - `json`: the `oildrop.runs/1` document.
    - `csv`, `parquet`: one table, one row a run; each headline metric is a column bearing its unit, with
      its reason beside it where it has no value (`results/wide.py`).
    - `mllog`: the run's log in the MLPerf logging format; several runs become a folder of `<run_id>.log`.

    Raises:
        UsageError: The format is unknown, there is no run, or `out` exists.
    """
    if format not in FORMATS:
        raise UsageError(f"format {format!r} is not one of {', '.join(FORMATS)}")
    if not rows:
        raise UsageError("no run to export; `oildrop runs` lists what there is")
    if out.exists() or out.is_symlink():
        raise UsageError(f"{out} exists and is never overwritten; remove it or choose another --out")
    _WRITERS[format](layout, rows, out)


def _bundle(layout: StoreLayout, rows: Sequence[RunRow], out: Path) -> None:
    bundles = {row.run_id: layout.run_dir(row.run_id) for row in rows}
    if archive.is_archive(out):
        _in_one_step(out, lambda partial: archive.pack(bundles, partial, leave_out=PRIVATE))
    elif len(bundles) == 1:
        _in_one_step(out, lambda partial: _copy(next(iter(bundles.values())), partial))
    else:
        _in_one_step(out, lambda partial: _each(partial, bundles))


def _each(parent: Path, bundles: dict[str, Path]) -> None:
    for run_id, folder in bundles.items():
        _copy(folder, parent / run_id)


def _copy(folder: Path, target_folder: Path) -> None:
    for name, is_file in names.walk(folder):
        if is_file and name not in PRIVATE:
            target = target_folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, target)


def _json(layout: StoreLayout, rows: Sequence[RunRow], out: Path) -> None:
    text = json.dumps(runs_document(layout, rows), indent=2, allow_nan=False, ensure_ascii=False)
    _in_one_step(out, lambda partial: partial.write_text(text + "\n"))


def _csv(layout: StoreLayout, rows: Sequence[RunRow], out: Path) -> None:
    _in_one_step(out, lambda partial: wide_table(rows).to_csv(partial, index=False))


def _parquet(layout: StoreLayout, rows: Sequence[RunRow], out: Path) -> None:
    _in_one_step(out, lambda partial: wide_table(rows).to_parquet(partial, index=False))


def _mllog(layout: StoreLayout, rows: Sequence[RunRow], out: Path) -> None:
    logs = {row.run_id: "".join(mllog_lines(read_bundle(layout.run_dir(row.run_id)))) for row in rows}
    if len(logs) == 1:
        _in_one_step(out, lambda partial: partial.write_text(next(iter(logs.values()))))
    else:
        _in_one_step(out, lambda partial: _write_logs(partial, logs))


def _write_logs(folder: Path, logs: dict[str, str]) -> None:
    folder.mkdir()
    for run_id, text in logs.items():
        (folder / f"{run_id}.log").write_text(text)


def _in_one_step(out: Path, write: Callable[[Path], object]) -> None:
    """Write beside `out`, then take its name, so that nobody sees half of it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".oildrop-", dir=out.parent) as folder:
        partial = Path(folder) / out.name
        write(partial)
        os.rename(partial, out)


_WRITERS: dict[str, Callable[[StoreLayout, Sequence[RunRow], Path], None]] = {
    "bundle": _bundle,
    "json": _json,
    "csv": _csv,
    "parquet": _parquet,
    "mllog": _mllog,
}
