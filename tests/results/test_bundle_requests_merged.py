"""One table out of the chunks that a run closed while it went on."""

from __future__ import annotations

from typing import Any

from oildrop.results.bundle.requests_merged import merged
from oildrop.rules.evidence import RequestTable


def chunk(*rows: tuple[int, int, str]) -> RequestTable:
    """Requests by number, time of issue and outcome."""
    columns: dict[str, Any] = {name: (0,) * len(rows) for name in RequestTable.__dataclass_fields__}
    columns |= {
        "index": tuple(row[0] for row in rows),
        "issued_ns": tuple(row[1] for row in rows),
        "outcome": tuple(row[2] for row in rows),
    }
    return RequestTable(**columns)


def rows(table: RequestTable) -> list[tuple[int, int, str]]:
    return list(zip(table.index, table.issued_ns, table.outcome, strict=True))


def test_one_chunk_is_as_it_stands() -> None:
    alone = chunk((1, 9, "ok"), (0, 3, "ok"))
    assert merged([alone]) is alone


def test_the_last_word_on_an_unfinished_request_counts_and_all_stand_by_issue() -> None:
    first = chunk((0, 10, "unfinished"), (2, 12, "unfinished"), (1, 11, "ok"))
    second = chunk((2, 12, "unfinished"), (0, 10, "cut"))
    third = chunk((3, 30, "unfinished"), (2, 12, "ok"))
    assert rows(merged([first, second, third])) == [(0, 10, "cut"), (1, 11, "ok"), (2, 12, "ok"), (3, 30, "unfinished")]


def test_what_had_ended_is_not_replaced_but_stands_twice() -> None:
    assert rows(merged([chunk((0, 1, "http_500")), chunk((0, 1, "ok"))])) == [(0, 1, "http_500"), (0, 1, "ok")]
    twice = merged([chunk((0, 1, "unfinished"), (0, 1, "unfinished")), chunk((0, 1, "ok"))])
    assert rows(twice) == [(0, 1, "unfinished"), (0, 1, "ok")]
