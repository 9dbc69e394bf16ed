"""Samples and telemetry: read back by Arrow itself, cut at every byte, refused when malformed."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from oildrop.results.bundle.samples import COLUMNS, parse_evaluations, read_evaluations, write_evaluations
from oildrop.results.bundle.telemetry import (
    END_OF_STREAM,
    TelemetryRow,
    encode_header,
    encode_rows,
    parse_telemetry,
)
from oildrop.rules.evidence import EvaluationTable

TABLES = (
    EvaluationTable(
        samples=480, loss_nats=(0.1, math.nan), source_nats=(0.0, 1e-300), token_count=(63, 1), correct_count=(2, 0)
    ),
    EvaluationTable(samples=960, loss_nats=(math.inf,), source_nats=(0.3,), token_count=(2**62,), correct_count=(5,)),
)


def test_evaluations_come_back_to_the_last_bit(tmp_path: Path) -> None:
    path = tmp_path / "samples" / "0000.arrow"
    write_evaluations(path, TABLES)
    found = read_evaluations(path)
    assert repr(found) == repr(TABLES)  # repr, as NaN is not equal to itself
    assert [type(value) for value in (found[0].loss_nats[0], found[0].token_count[0])] == [float, int]
    assert [p.name for p in path.parent.iterdir()] == ["0000.arrow"]


def test_evaluations_are_a_plain_arrow_file(tmp_path: Path) -> None:
    write_evaluations(tmp_path / "0000.arrow", TABLES)
    table = pa.ipc.open_file(tmp_path / "0000.arrow").read_all()
    assert {field.name: str(field.type).replace("double", "float64") for field in table.schema} == COLUMNS
    assert table.column("samples").to_pylist() == [480, 480, 960]


def test_no_evaluation_is_an_empty_chunk(tmp_path: Path) -> None:
    write_evaluations(tmp_path / "0000.arrow", ())
    assert read_evaluations(tmp_path / "0000.arrow") == ()


def test_a_chunk_cut_anywhere_is_refused(tmp_path: Path) -> None:
    write_evaluations(tmp_path / "0000.arrow", TABLES)
    data = (tmp_path / "0000.arrow").read_bytes()
    for length in range(len(data)):
        with pytest.raises(ValueError, match="cannot be read as an Arrow file"):
            parse_evaluations(data[:length])


def arrow_file(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def test_other_columns_are_refused() -> None:
    with pytest.raises(ValueError, match=r"has columns .*'samples': 'string'"):
        parse_evaluations(arrow_file(pa.table({"samples": ["x"]})))


def test_empty_cells_are_refused() -> None:
    columns = {name: pa.array([None], getattr(pa, kind)()) for name, kind in COLUMNS.items()}
    with pytest.raises(ValueError, match="empty cells"):
        parse_evaluations(arrow_file(pa.table(columns)))


def rows(second: int) -> list[TelemetryRow]:
    return [
        TelemetryRow(second * 10**9 + part, "process", quantity, "worker", "process", second + part / 4)
        for part in range(4)
        for quantity in ("cpu_s", "rss_bytes")
    ]


STREAM = encode_header() + encode_rows(rows(0)) + encode_rows(rows(1)) + END_OF_STREAM


def test_telemetry_is_a_plain_arrow_stream() -> None:
    table = pa.ipc.open_stream(STREAM).read_all()
    assert table.to_pylist()[3] == {
        "t_ns": 1, "meter": "process", "quantity": "rss_bytes", "device": "worker", "scope": "process", "value": 0.25,
    }  # fmt: skip


def test_telemetry_is_grouped_by_who_measured_what() -> None:
    reading = parse_telemetry(STREAM)
    assert reading.damage is None
    assert [series.quantity for series in reading.series] == ["cpu_s", "rss_bytes"]
    times = (0, 1, 2, 3, 10**9, 10**9 + 1, 10**9 + 2, 10**9 + 3)
    assert reading.series[0].t_ns == times
    assert reading.series[0].values == (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75)


def test_readings_are_in_order_of_time() -> None:
    late = [TelemetryRow(t, "m", "power_w", "d", "device", float(t)) for t in (5, 3, 9)]
    [series] = parse_telemetry(encode_header() + encode_rows(late) + END_OF_STREAM).series
    assert series.t_ns == (3, 5, 9) and series.values == (3.0, 5.0, 9.0)


def test_what_is_no_finite_number_is_no_reading() -> None:
    odd = [TelemetryRow(t, "m", "power_w", "d", "device", value) for t, value in enumerate((1.0, np.nan, np.inf))]
    [series] = parse_telemetry(encode_header() + encode_rows(odd) + END_OF_STREAM).series
    assert series.t_ns == (0,)


def test_telemetry_cut_anywhere_is_valid_up_to_its_last_whole_batch() -> None:
    first = len(encode_header()) + len(encode_rows(rows(0)))
    second = first + len(encode_rows(rows(1)))
    for length in range(len(STREAM)):
        reading = parse_telemetry(STREAM[:length])
        assert reading.damage is not None
        readings = len(reading.series[0].t_ns) if reading.series else 0
        assert readings == (8 if length >= second else 4 if length >= first else 0), length


def test_telemetry_of_other_columns_is_refused() -> None:
    table = pa.table({"t_ns": [1]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    reading = parse_telemetry(sink.getvalue().to_pybytes())
    assert reading.series == () and "has columns ['t_ns']" in str(reading.damage)


def test_telemetry_with_empty_cells_is_read_up_to_them() -> None:
    schema = pa.ipc.open_stream(STREAM).schema
    holed = pa.record_batch([pa.array([None], field.type) for field in schema], schema=schema)
    stream = encode_header() + encode_rows(rows(0)) + bytes(holed.serialize()) + END_OF_STREAM
    reading = parse_telemetry(stream)
    assert len(reading.series[0].t_ns) == 4 and "beyond batch 1" in str(reading.damage)
