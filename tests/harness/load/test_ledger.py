"""The table of requests out of what steps brought."""

from __future__ import annotations

import pytest

from oildrop.harness.load.increments import table_of
from oildrop.harness.load.ledger import Ledger
from oildrop.rules.errors import OildropError
from oildrop.workloads.served_protocols import Emission, RequestSize


def size(index: int) -> RequestSize:
    return RequestSize(input_tokens=10 + index, output_tokens=3)


def said(index: int, *tokens: int, done: bool = False) -> Emission:
    return Emission(index=index, tokens=tokens, done=done)


def test_tokens_of_interleaved_answers_are_told_apart() -> None:
    ledger = Ledger()
    assert ledger.issue(3, 100, 110) == [0, 1, 2]
    assert ledger.issue(1, 200, 230) == [3]
    assert ledger.record([said(1, 7), said(0, 4, 5)], 300) == 0
    assert ledger.record([], 350) == 0
    assert ledger.record([said(0, 6, done=True), said(3, 1, 2, 3, 4, done=True)], 400) == 2
    assert ledger.record([said(1, 8, done=True)], 550) == 1
    table = table_of(ledger, size)
    assert table.index == table.query == (0, 1, 2, 3)
    assert table.scheduled_ns == (100, 100, 100, 200)
    assert table.issued_ns == (110, 110, 110, 230)
    assert table.first_ns == (300, 300, None, 400)
    assert table.last_ns == (400, 550, None, 400)
    assert table.tokens == ((4, 5, 6), (7, 8), (), (1, 2, 3, 4))
    assert table.gaps_ns == ((0, 100), (250,), (), (0, 0, 0))
    assert table.output_tokens == (3, 2, 0, 4)
    assert table.input_tokens == (10, 11, 12, 13)
    assert table.outcome == ("ok", "truncated", "unfinished", "overlong")
    assert (ledger.issued, ledger.answered, ledger.steps) == (4, 3, 4)


def test_nothing_issued_is_an_empty_table() -> None:
    assert table_of(Ledger(), size).index == ()


@pytest.mark.parametrize("index", [-1, 1, 99])
def test_an_answer_that_nobody_asked_for_is_refused(index: int) -> None:
    ledger = Ledger()
    ledger.issue(1, 0, 0)
    ledger.record([said(index, 1)], 5)
    with pytest.raises(OildropError, match=f"answered request {index}, but 1 were issued"):
        table_of(ledger, size)


def test_tokens_after_the_end_of_an_answer_are_refused() -> None:
    ledger = Ledger()
    ledger.issue(2, 0, 0)
    ledger.record([said(1, 1, done=True)], 5)
    ledger.record([said(1, 2)], 6)
    with pytest.raises(OildropError, match="went on after the end of answer 1"):
        table_of(ledger, size)
