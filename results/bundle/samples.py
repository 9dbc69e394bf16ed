"""Per-document evidence of evaluations: one Arrow file a chunk, one row a document."""

from __future__ import annotations

import functools
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oildrop.results.bundle.arrow_files import arrow_bytes, arrow_table, columns_of, refuse_empty_cells
from oildrop.results.bundle.durable import write_durably
from oildrop.rules.evidence import EvaluationTable

if TYPE_CHECKING:
    from collections.abc import Sequence

COLUMNS = {
    "samples": "int64",
    "loss_nats": "float64",
    "source_nats": "float64",
    "token_count": "int64",
    "correct_count": "int64",
}
"""`samples` is the same on all rows of one evaluation: the training samples consumed when it was made."""

VALUES = tuple(name for name in COLUMNS if name != "samples")


@functools.cache
def _schema() -> Any:
    import pyarrow as pa

    return pa.schema([pa.field(name, getattr(pa, kind)(), nullable=False) for name, kind in COLUMNS.items()])


def write_evaluations(path: Path, evaluations: Sequence[EvaluationTable]) -> None:
    """Write one chunk, whole or not at all and on disk on return. Raises OSError.

    Two evaluations after the same count of samples must not stand next to each other: the count tells them apart.
    """
    columns: dict[str, list[float]] = {name: [] for name in COLUMNS}
    for evaluation in evaluations:
        columns["samples"].extend([evaluation.samples] * len(evaluation.loss_nats))
        for name in VALUES:
            columns[name].extend(getattr(evaluation, name))
    path.parent.mkdir(exist_ok=True)
    write_durably(path, arrow_bytes(columns, _schema()))


def read_evaluations(path: Path) -> tuple[EvaluationTable, ...]:
    """The evaluations of one chunk, in order. Raises ValueError when it is damaged, OSError when unreadable."""
    return parse_evaluations(path.read_bytes())


def parse_evaluations(data: bytes) -> tuple[EvaluationTable, ...]:
    """The evaluations in the bytes of one chunk. Raises ValueError saying what is wrong with them."""
    return evaluations_in(arrow_table(data))


def evaluations_in(table: Any) -> tuple[EvaluationTable, ...]:
    """The evaluations of an Arrow table. Raises ValueError saying what is wrong with it."""
    import numpy as np

    found = columns_of(table)
    if found != COLUMNS:
        raise ValueError(f"has columns {found}, expected {COLUMNS}")
    refuse_empty_cells(table)
    columns = {name: table.column(name).to_numpy() for name in COLUMNS}
    samples = columns["samples"]
    edges = [0, *(np.flatnonzero(np.diff(samples)) + 1).tolist(), len(samples)] if len(samples) else []
    lists = {name: columns[name].tolist() for name in VALUES}
    return tuple(
        EvaluationTable(
            samples=int(samples[start]),
            **{name: tuple(values[start:stop]) for name, values in lists.items()},
        )
        for start, stop in pairwise(edges)
    )
