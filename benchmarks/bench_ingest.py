"""How fast bundles become rows: read, judged and written, on all cores of this machine."""

from __future__ import annotations

import os
import random
import tempfile
import time
from pathlib import Path
from unittest import mock

from synthetic import synthetic_run, synthetic_store
from table import Row

from oildrop.results.ingest import ingest_runs
from oildrop.results.layout import StoreLayout
from oildrop.results.views import list_runs
from oildrop.rules.statistics import log_t_interval

BUNDLES = 400
EVENTS = 300
ROUNDS = 6
ROWS = 10_000


def main() -> list[Row]:
    """Bundles a second, and seconds to load many rows of an index."""
    with tempfile.TemporaryDirectory() as folder:
        ingested = _rates(StoreLayout(Path(folder) / "bundles"))
        loaded = _load_times(StoreLayout(Path(folder) / "rows"))
    cores = len(os.sched_getaffinity(0))
    return [
        _row(f"ingest of nano bundles, {EVENTS} events or more, {cores} cores", ingested, "bundles/s", at_least=300.0),
        _row(f"loading {ROWS} rows from the index", loaded, "s"),
    ]


def _rates(layout: StoreLayout) -> list[float]:
    rng = random.Random(1)
    with mock.patch("os.fsync"):  # the time of making them is not measured
        folders = [synthetic_run(layout, seed_index=i, rng=rng, events=EVENTS) for i in range(BUNDLES)]
    rates = []
    for _ in range(ROUNDS + 1):
        layout.database.unlink(missing_ok=True)
        begin = time.perf_counter()
        rows = ingest_runs(layout, folders)
        rates.append(len(rows) / (time.perf_counter() - begin))
    return rates[1:]  # the first filled the caches


def _load_times(layout: StoreLayout) -> list[float]:
    with mock.patch("os.fsync"):
        synthetic_store(layout, ROWS, random.Random(2))
    times_s = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        rows = list_runs(layout)
        times_s.append(time.perf_counter() - begin)
        assert len(rows) == ROWS
    return times_s


def _row(name: str, values: list[float], unit: str, at_least: float | None = None) -> Row:
    estimate = log_t_interval(values)
    low, high = estimate.low or estimate.value, estimate.high or estimate.value
    return Row(name=name, value=estimate.value, low=low, high=high, unit=unit, count=estimate.count, at_least=at_least)


if __name__ == "__main__":
    for row in main():
        print(row)
