"""Tables of requests and answers: whole round trips, plain Arrow, damage that is told and never a crash."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oildrop.results.bundle.chunks import describe_chunk, parse_chunk
from oildrop.results.bundle.requests import (
    read_answers,
    read_requests,
    write_answers,
    write_requests,
)
from oildrop.rules.evidence import AnswerTable, RequestTable

REQUESTS = RequestTable(
    index=(0, 1, 2),
    query=(0, 1, 1),
    scheduled_ns=(100, 350, 350),
    issued_ns=(101, 353, 352),
    first_ns=(111, None, 400),
    last_ns=(131, None, 400),
    input_tokens=(8, 9, 10),
    output_tokens=(3, 0, 1),
    expected_tokens=(3, 5, 1),
    outcome=("ok", "http_500", "ok"),
    gaps_ns=((10, 10), (), ()),
    tokens=((5, 6, 7), (), (9,)),
)
ANSWERS = AnswerTable(
    index=(0, 2), loss_nats=(1.5, 0.1), source_nats=(1.0, 0.0), token_count=(7, 1), agreed_count=(3, 1),
    compared_count=(3, 1),
)  # fmt: skip

hammer = settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
instants = st.integers(min_value=-(2**61), max_value=2**61)
counts = st.integers(min_value=0, max_value=2**62)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("index", "query", "input_tokens", "output_tokens", "expected_tokens"), counts),
    **dict.fromkeys(("scheduled_ns", "issued_ns"), instants),
    **dict.fromkeys(("first_ns", "last_ns"), st.none() | instants),
    "outcome": st.text(st.characters(codec="utf-8"), max_size=10),
    **dict.fromkeys(("gaps_ns", "tokens"), st.lists(counts, max_size=4).map(tuple)),
}
request_tables = st.lists(st.tuples(*FIELDS.values()), max_size=6).map(
    lambda rows: RequestTable(**{name: tuple(row[k] for row in rows) for k, name in enumerate(FIELDS)})
)
reals = st.floats(allow_nan=False)
NAMES = tuple(AnswerTable.__dataclass_fields__)
WITHOUT_ACCURACY = len(NAMES) - 2
answer_tables = st.tuples(
    st.sampled_from([WITHOUT_ACCURACY, len(NAMES)]),
    st.lists(st.tuples(counts, reals, reals, *(counts,) * 5), max_size=6),
).map(lambda made: AnswerTable(**{name: tuple(row[k] for row in made[1]) for k, name in enumerate(NAMES[: made[0]])}))


def written(tmp_path: Path, table: RequestTable | AnswerTable) -> Path:
    path = tmp_path / "0000.arrow"
    if isinstance(table, RequestTable):
        write_requests(path, table)
    else:
        write_answers(path, table)
    return path


@hammer
@given(table=request_tables)
def test_requests_come_back_whole(tmp_path: Path, table: RequestTable) -> None:
    path = written(tmp_path, table)
    assert read_requests(path) == table == parse_chunk(path.read_bytes())


@hammer
@given(table=answer_tables)
def test_answers_come_back_whole(tmp_path: Path, table: AnswerTable) -> None:
    path = written(tmp_path, table)
    assert read_answers(path) == table == parse_chunk(path.read_bytes())


def test_times_are_kept_as_differences(tmp_path: Path) -> None:
    table = pa.ipc.open_file(written(tmp_path, REQUESTS)).read_all()
    assert table.column("scheduled_step_ns").to_pylist() == [100, 250, 0]
    assert table.column("issue_delay_ns").to_pylist() == [1, 3, 2]
    assert table.column("first_delay_ns").to_pylist() == [10, None, 48]
    assert table.column("last_delay_ns").to_pylist() == [30, None, 48]
    assert table.column("gaps_ns").to_pylist() == [[10, 10], [], []]


def test_one_column_of_accuracy_without_the_other_is_refused(tmp_path: Path) -> None:
    counted = replace(ANSWERS, correct_count=(1, 0), reference_correct_count=(1, 1))
    table = pa.ipc.open_file(written(tmp_path, counted)).read_all()
    sink = pa.BufferOutputStream()
    half = table.drop_columns("reference_correct_count")
    with pa.ipc.new_file(sink, half.schema) as writer:
        writer.write_table(half)
    with pytest.raises(ValueError, match="has columns"):
        parse_chunk(sink.getvalue().to_pybytes())


def test_chunks_say_what_they_hold(tmp_path: Path) -> None:
    assert describe_chunk(written(tmp_path, REQUESTS)) == {"rows": 3, "first_ns": 100, "last_ns": 350}
    assert describe_chunk(written(tmp_path, ANSWERS)) == {"rows": 2}


@pytest.mark.parametrize("table", [REQUESTS, ANSWERS], ids=["requests", "answers"])
def test_a_chunk_cut_anywhere_is_refused(tmp_path: Path, table: RequestTable | AnswerTable) -> None:
    data = written(tmp_path, table).read_bytes()
    for length in range(len(data)):
        with pytest.raises(ValueError, match="cannot be read as an Arrow file"):
            parse_chunk(data[:length])


@hammer
@given(place=st.integers(min_value=0), bit=st.integers(0, 7), table=st.sampled_from([REQUESTS, ANSWERS]))
def test_a_flipped_bit_gives_another_table_or_a_reason(tmp_path: Path, place: int, bit: int, table: Any) -> None:
    data = bytearray(written(tmp_path, table).read_bytes())
    data[place % len(data)] ^= 1 << bit
    try:
        found = parse_chunk(bytes(data))
    except ValueError as error:
        assert str(error)
    else:
        columns = [] if isinstance(found, tuple) else [column for column in vars(found).values() if column is not None]
        assert len({len(column) for column in columns}) <= 1


def test_empty_cells_are_refused(tmp_path: Path) -> None:
    table = pa.ipc.open_file(written(tmp_path, REQUESTS)).read_all()
    for name, empty in (("outcome", pa.nulls(3, pa.string())), ("tokens", pa.array([[1, None]] * 3))):
        place = table.column_names.index(name)
        sink = pa.BufferOutputStream()
        holed = table.set_column(place, pa.field(name, empty.type), empty)
        with pa.ipc.new_file(sink, holed.schema) as writer:
            writer.write_table(holed)
        with pytest.raises(ValueError, match=f"empty cells in column {name}"):
            parse_chunk(sink.getvalue().to_pybytes())
