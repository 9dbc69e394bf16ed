"""What the meters said over time: an Arrow stream, one record batch a flush.

A stream cut anywhere is valid up to its last whole batch.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

from oildrop.rules.evidence import Series

END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
"""Closes an Arrow stream. Source: Arrow columnar format 1.5, "IPC Streaming Format"."""


class TelemetryRow(NamedTuple):
    """One reading: `t_ns` since the run's start, `value` in the unit that `quantity` names."""

    t_ns: int
    meter: str
    quantity: str
    device: str
    scope: str
    value: float


@functools.cache
def _schema() -> Any:
    import pyarrow as pa

    kinds = [pa.int64(), pa.utf8(), pa.utf8(), pa.utf8(), pa.utf8(), pa.float64()]
    return pa.schema([pa.field(*field, nullable=False) for field in zip(TelemetryRow._fields, kinds, strict=True)])


def encode_header() -> bytes:
    """What a stream begins with."""
    return bytes(_schema().serialize())


def encode_rows(rows: Sequence[TelemetryRow]) -> bytes:
    """One record batch of `rows`."""
    import pyarrow as pa

    columns = [pa.array(column, kind.type) for column, kind in zip(zip(*rows, strict=True), _schema(), strict=True)]
    return bytes(pa.record_batch(columns, schema=_schema()).serialize())


def load_telemetry() -> None:
    """Load all that writing needs (Arrow, and pandas by it: a second or more), so that no row waits for it."""
    encode_header()
    encode_rows([TelemetryRow(0, "", "", "", "", 0.0)])


class TelemetryReading(NamedTuple):
    """Series of the whole batches, and what is wrong with what follows them (None when nothing is)."""

    series: tuple[Series, ...]
    damage: str | None


def parse_telemetry(data: bytes) -> TelemetryReading:
    """Read a stream up to its last whole batch; a reading that is no finite number is none."""
    import pyarrow as pa

    batches: list[Any] = []
    damage = None if data.endswith(END_OF_STREAM) else "has no end: its last readings may be missing"
    try:
        reader = pa.ipc.open_stream(pa.py_buffer(data))
        if reader.schema != _schema():
            return TelemetryReading((), f"has columns {reader.schema.names}, expected {_schema().names}")
        for batch in reader:
            batches.append(batch)
        _check(pa.Table.from_batches(batches, _schema()))
    except (pa.ArrowException, OSError, ValueError) as error:
        batches = _valid_beginning(batches)
        damage = f"cannot be read beyond batch {len(batches)} ({(str(error) or type(error).__name__).splitlines()[0]})"
    return TelemetryReading(_series(pa.Table.from_batches(batches, _schema())), damage)


def _check(table: Any) -> None:
    """Raise ValueError or ArrowInvalid unless every cell of a table or batch can be read safely."""
    table.validate(full=True)
    if any(column.null_count for column in table.columns):
        raise ValueError("it has empty cells")


def _valid_beginning(batches: list[Any]) -> list[Any]:
    import pyarrow as pa

    for count, batch in enumerate(batches):
        try:
            _check(batch)
        except (pa.ArrowException, ValueError):
            return batches[:count]
    return batches


def _series(table: Any) -> tuple[Series, ...]:
    """Group the readings by who made them, in order of first appearance, each in order of time."""
    grouped: dict[tuple[str, str, str, str], tuple[list[int], list[float]]] = {}
    columns = [column.to_numpy().tolist() for column in _finite(table.combine_chunks()).columns]
    for t_ns, meter, quantity, device, scope, value in zip(*columns, strict=True):
        key = (meter, quantity, device, scope)
        if key not in grouped:
            grouped[key] = ([], [])
        times, values = grouped[key]
        times.append(t_ns)
        values.append(value)
    return tuple(_one_series(key, times, values) for key, (times, values) in grouped.items())


def _one_series(key: tuple[str, str, str, str], times: list[int], values: list[float]) -> Series:
    meter, quantity, device, scope = key
    if times != sorted(times):
        order = sorted(range(len(times)), key=times.__getitem__)
        times, values = [times[i] for i in order], [values[i] for i in order]
    return Series(meter=meter, quantity=quantity, device=device, scope=scope, t_ns=tuple(times), values=tuple(values))


def _finite(table: Any) -> Any:
    import numpy as np
    import pyarrow as pa

    finite = np.isfinite(table.column("value").to_numpy())
    return table if finite.all() else table.filter(pa.array(finite))
