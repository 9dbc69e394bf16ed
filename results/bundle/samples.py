"""Per-document evidence of evaluations: one Arrow file a chunk, one row a document."""

from __future__ import annotations

import functools
import io
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    import pyarrow as pa

    columns: dict[str, list[float]] = {name: [] for name in COLUMNS}
    for evaluation in evaluations:
        columns["samples"].extend([evaluation.samples] * len(evaluation.loss_nats))
        for name in VALUES:
            columns[name].extend(getattr(evaluation, name))
    buffer = io.BytesIO()
    with pa.ipc.new_file(buffer, _schema()) as writer:
        writer.write_table(pa.table(columns, schema=_schema()))
    path.parent.mkdir(exist_ok=True)
    write_durably(path, buffer.getvalue())


def read_evaluations(path: Path) -> tuple[EvaluationTable, ...]:
    """The evaluations of one chunk, in order. Raises ValueError when it is damaged, OSError when unreadable."""
    return parse_evaluations(path.read_bytes())


def parse_evaluations(data: bytes) -> tuple[EvaluationTable, ...]:
    """The evaluations in the bytes of one chunk. Raises ValueError saying what is wrong with them."""
    import numpy as np

    columns = _columns(data)
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


def _columns(data: bytes) -> dict[str, Any]:
    import pyarrow as pa

    try:
        table = pa.ipc.open_file(pa.py_buffer(data)).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ValueError(f"cannot be read as an Arrow file ({_one_line(error)})") from error
    found = {field.name: str(field.type).replace("double", "float64") for field in table.schema}
    if found != COLUMNS:
        raise ValueError(f"has columns {found}, expected {COLUMNS}")
    if any(column.null_count for column in table.columns):
        raise ValueError("has empty cells; every document needs all of its numbers")
    return {name: table.column(name).to_numpy() for name in COLUMNS}


def _one_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
