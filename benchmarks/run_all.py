"""Runs every `bench_*.py` beside this file, one after the other, and prints one table.

Each has `main() -> list[Row | Skipped]`. Give parts of their names to run only those:
`python benchmarks/run_all.py overhead ingest`. The exit status is 1 when a bound fails or a benchmark does.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path

from rich.console import Console

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # python -P leaves it out; the scripts share table.py and pairs.py

from table import Broken, Row, Skipped, print_table  # noqa: E402


def chosen(folder: Path, words: list[str]) -> list[str]:
    """Module names of the benchmarks in `folder` whose names hold one of `words` (all, without words)."""
    names = sorted(path.stem for path in folder.glob("bench_*.py"))
    return [name for name in names if not words or any(word in name for word in words)]


def main(words: list[str], folder: Path = HERE) -> int:
    """Run the chosen benchmarks and print their rows. Returns the exit status."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    names = chosen(folder, words)
    if not names:
        console.print(f"No bench_*.py matches {' '.join(words) or 'at all'}.")
        return 1 if words else 0
    rows: list[Row | Skipped] = []
    broken = []
    for name in names:
        console.print(f"{name} ...")
        try:
            rows += importlib.import_module(name).main()
        except Exception:  # the others still run; this one is told at the end
            traceback.print_exc()
            broken.append(name)
    print_table(rows, console)
    for name in broken:
        console.print(f"{name} ended with an error (above)")
    return 1 if broken or any(map(_is_bad, rows)) else 0


def _is_bad(row: Row | Skipped) -> bool:
    return row.bound != "" and row.holds is False if isinstance(row, Row) else isinstance(row, Broken)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
