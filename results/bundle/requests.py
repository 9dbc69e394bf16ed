"""Requests of a served run and the quality of its answers: one Arrow file each, one row a request or an answer.

Times are kept as differences, which are small and pack well: the scheduled time from that of the row before, issue
from the scheduled time, tokens from the issue.
"""

from __future__ import annotations

import functools
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from oildrop.results.bundle.arrow_files import arrow_bytes, arrow_table, columns_of, refuse_empty_cells
from oildrop.results.bundle.durable import write_durably
from oildrop.rules.evidence import AnswerTable, RequestTable

REQUEST_COLUMNS = {
    "index": "int64",
    "query": "int64",
    "scheduled_step_ns": "int64",
    "issue_delay_ns": "int64",
    "first_delay_ns": "int64",
    "last_delay_ns": "int64",
    "input_tokens": "int64",
    "output_tokens": "int64",
    "expected_tokens": "int64",
    "outcome": "string",
    "gaps_ns": "list<item: int64>",
    "tokens": "list<item: int64>",
}
ANSWER_COLUMNS = {
    "index": "int64",
    "loss_nats": "float64",
    "source_nats": "float64",
    "token_count": "int64",
    "agreed_count": "int64",
    "compared_count": "int64",
}
ACCURACY_COLUMNS = {"correct_count": "int64", "reference_correct_count": "int64"}
"""Of answers that are right or wrong; tables of others, and those from before there were such columns, lack them."""

MAY_BE_EMPTY = ("first_delay_ns", "last_delay_ns")
"""A request that was never answered has neither."""

AS_THEY_ARE = ("index", "query", "input_tokens", "output_tokens", "expected_tokens", "outcome", "gaps_ns", "tokens")


@functools.cache
def _schema(*names: str) -> Any:
    """The schema of the columns `names`, each of which is one of a table's above."""
    import pyarrow as pa

    kinds = {
        "int64": pa.int64(), "float64": pa.float64(), "string": pa.string(), "list<item: int64>": pa.list_(pa.int64()),
    }  # fmt: skip
    types = {**REQUEST_COLUMNS, **ANSWER_COLUMNS, **ACCURACY_COLUMNS}
    return pa.schema([pa.field(name, kinds[types[name]], nullable=name in MAY_BE_EMPTY) for name in names])


def write_requests(path: Path, requests: RequestTable) -> None:
    """Write one chunk of all requests, whole or not at all and on disk on return. Raises OSError."""
    scheduled, issued = requests.scheduled_ns, requests.issued_ns
    columns: dict[str, Any] = {name: getattr(requests, name) for name in AS_THEY_ARE}
    columns |= {
        "scheduled_step_ns": [later - earlier for earlier, later in pairwise((0, *scheduled))],
        "issue_delay_ns": [at - due for at, due in zip(issued, scheduled, strict=True)],
        "first_delay_ns": _delays(requests.first_ns, issued),
        "last_delay_ns": _delays(requests.last_ns, issued),
    }
    _write(path, request_bytes(columns))


def request_bytes(columns: dict[str, Any]) -> bytes:
    """One chunk of requests as it stands in the file, from its columns."""
    return arrow_bytes(columns, _schema(*REQUEST_COLUMNS), packed=True)


def write_answers(path: Path, answers: AnswerTable) -> None:
    """Write one chunk of the assessed answers, whole or not at all and on disk on return. Raises OSError."""
    columns = {name: getattr(answers, name) for name in (*ANSWER_COLUMNS, *ACCURACY_COLUMNS)}
    columns = {name: values for name, values in columns.items() if values is not None}
    _write(path, arrow_bytes(columns, _schema(*columns), packed=True))


def requests_in(table: Any) -> RequestTable:
    """The requests of an Arrow table. Raises ValueError saying what is wrong with it."""
    _expect(table, REQUEST_COLUMNS)
    scheduled = tuple(accumulate(_values(table, "scheduled_step_ns")))
    issued = tuple(due + delay for due, delay in zip(scheduled, _values(table, "issue_delay_ns"), strict=True))
    return RequestTable(
        index=_values(table, "index"),
        query=_values(table, "query"),
        scheduled_ns=scheduled,
        issued_ns=issued,
        first_ns=_instants(_values(table, "first_delay_ns"), issued),
        last_ns=_instants(_values(table, "last_delay_ns"), issued),
        input_tokens=_values(table, "input_tokens"),
        output_tokens=_values(table, "output_tokens"),
        expected_tokens=_values(table, "expected_tokens"),
        outcome=_values(table, "outcome"),
        gaps_ns=_lists(table, "gaps_ns"),
        tokens=_lists(table, "tokens"),
    )


def answers_in(table: Any) -> AnswerTable:
    """The assessed answers of an Arrow table. Raises ValueError saying what is wrong with it."""
    columns = ANSWER_COLUMNS | (ACCURACY_COLUMNS if set(ACCURACY_COLUMNS) & set(table.column_names) else {})
    _expect(table, columns)
    return AnswerTable(**{name: _values(table, name) for name in columns})


def read_requests(path: Path) -> RequestTable:
    """The requests of one chunk. Raises ValueError when it is damaged, OSError when unreadable."""
    return requests_in(arrow_table(path.read_bytes()))


def read_answers(path: Path) -> AnswerTable:
    """The assessed answers of one chunk. Raises ValueError when it is damaged, OSError when unreadable."""
    return answers_in(arrow_table(path.read_bytes()))


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    write_durably(path, data)


def _delays(instants: tuple[int | None, ...], issued: tuple[int, ...]) -> list[int | None]:
    return [None if at is None else at - begin for at, begin in zip(instants, issued, strict=True)]


def _instants(delays: tuple[int | None, ...], issued: tuple[int, ...]) -> tuple[int | None, ...]:
    return tuple(None if delay is None else begin + delay for delay, begin in zip(delays, issued, strict=True))


def _expect(table: Any, columns: dict[str, str]) -> None:
    found = columns_of(table)
    if found != columns:
        raise ValueError(f"has columns {found}, expected {columns}")
    refuse_empty_cells(table, but=MAY_BE_EMPTY)


def _values(table: Any, name: str) -> tuple[Any, ...]:
    return tuple(table.column(name).to_pylist())


def _lists(table: Any, name: str) -> tuple[tuple[int, ...], ...]:
    """Rows of a column of lists; far quicker than asking Arrow for each."""
    rows: list[tuple[int, ...]] = []
    for chunk in table.column(name).chunks:
        values, edges = chunk.values.to_pylist(), chunk.offsets.to_pylist()
        rows.extend(tuple(values[start:stop]) for start, stop in pairwise(edges))
    return tuple(rows)
