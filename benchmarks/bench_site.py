"""How long the page of 10,000 synthetic runs takes on one core, rows at hand."""

from __future__ import annotations

import importlib.util
import os
import tempfile
import time
from pathlib import Path
from types import ModuleType

from pairs import mean_row
from table import Row

from oildrop.site.pages.build import build_site

RUNS = 10_000
BUILDS = 3
SYNTHETIC = Path(__file__).parents[1] / "tests" / "site" / "synthetic_runs.py"


def main() -> list[Row]:
    """Seconds of wall time a build, this process held to one core where the system can do that."""
    synthetic = _load(SYNTHETIC)
    rows, rulebook = synthetic.many_rows(RUNS), synthetic.rulebook()
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else None
    try:
        if cores is not None:
            os.sched_setaffinity(0, {min(cores)})
        # Removed only after the last build: an ext4 without journal looks at every file removed in the last
        # minutes whenever it makes one, which would be measured as ours.
        with tempfile.TemporaryDirectory() as folder:
            times_s = [_build_s(rows, rulebook, Path(folder) / f"page-{build}") for build in range(BUILDS)]
    finally:
        if cores is not None:
            os.sched_setaffinity(0, cores)
    return [mean_row(f"site build, {RUNS} synthetic runs, one core", times_s, "s", at_most=5.0)]


def _build_s(rows: object, rulebook: object, out: Path) -> float:
    start = time.perf_counter()
    build_site(rows, rulebook, out, built_utc="2026-01-01T00:00:00Z")  # type: ignore[arg-type]
    return time.perf_counter() - start


def _load(path: Path) -> ModuleType:
    found = importlib.util.spec_from_file_location(path.stem, path)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module
