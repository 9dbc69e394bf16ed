"""A ledger read piece by piece says, put together again, what it says read whole; also while somebody writes."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from oildrop.harness.load.increments import Increments, table_of
from oildrop.harness.load.ledger import Ledger
from oildrop.harness.null_serve import NullServe
from oildrop.results.bundle.request_arrays import write_request_arrays
from oildrop.results.bundle.requests import read_requests
from oildrop.results.bundle.requests_merged import merged
from oildrop.rules.errors import OildropError
from oildrop.rules.evidence import RequestTable
from oildrop.workloads.served_protocols import Emission, RequestSize


def size(index: int) -> RequestSize:
    return RequestSize(input_tokens=10 + index, output_tokens=3)


def said(index: int, *tokens: int, done: bool = False) -> Emission:
    return Emission(index=index, tokens=tokens, done=done)


def taken(changes: Increments) -> RequestTable:
    found = changes.take()
    assert found is not None
    return found.table()


def test_a_piece_holds_what_was_issued_answered_or_ended_since_the_one_before() -> None:
    ledger = Ledger()
    changes = Increments(ledger, size)
    assert changes.take() is None
    ledger.issue(3, 100, 110)
    ledger.record([said(1, 7)], 200)
    first = taken(changes)
    assert (first.index, first.outcome, first.tokens) == ((0, 1, 2), ("unfinished",) * 3, ((), (7,), ()))
    assert changes.take() is None
    ledger.record([said(1, 8, 9, done=True), said(2, 4)], 300)
    ledger.issue(1, 400, 410)
    second = taken(changes)
    assert (second.index, second.outcome) == ((1, 2, 3), ("ok", "unfinished", "unfinished"))
    assert (second.tokens, second.gaps_ns) == (((7, 8, 9), (4,), ()), ((100, 0), (), ()))
    assert (second.first_ns, second.last_ns) == ((200, 300, None), (300, 300, None))
    ledger.record([said(2, done=True)], 500)
    third = taken(changes)
    assert (third.index, third.outcome, third.scheduled_ns) == ((2,), ("truncated",), (100,))
    assert merged((first, second, third)) == table_of(ledger, size)


@pytest.mark.parametrize("seed", range(5))
def test_pieces_cut_anywhere_make_the_whole(seed: int, tmp_path: Path) -> None:
    """Also as files: what was written is what is read."""
    draw = np.random.default_rng(seed)
    ledger, task, clock = Ledger(2), NullServe(output_tokens=3, slots=5), 0
    changes, pieces = Increments(ledger, task.size), []
    for step in range(60):
        if step < 40 and draw.random() < 0.6:
            task.admit(ledger.issue(2 * int(draw.integers(1, 3)), clock, clock + 3))
        clock += int(draw.integers(1, 100))
        ledger.record(task.step(), clock)
        if draw.random() < 0.3 and (found := changes.take()) is not None:
            path = tmp_path / f"{len(pieces):04d}.arrow"
            write_request_arrays(path, found)
            pieces.append(read_requests(path))
            assert pieces[-1] == found.table()
    last = changes.take()
    whole = table_of(ledger, task.size)
    assert merged([*pieces, *([] if last is None else [last.table()])]) == whole
    assert len(whole.index) == ledger.issued and whole.query == tuple(row // 2 for row in whole.index)


def test_a_ledger_may_be_read_while_it_is_written() -> None:
    ledger, task = Ledger(), NullServe(output_tokens=4, slots=7)
    changes, pieces = Increments(ledger, task.size), []
    ended = threading.Event()

    def serve() -> None:
        for clock in range(20_000):
            task.admit(ledger.issue(2, clock, clock))
            ledger.record(task.step(), clock)
        ended.set()

    thread = threading.Thread(target=serve)
    thread.start()
    while not ended.is_set():
        if (found := changes.take()) is not None:
            pieces.append(found.table())
    thread.join()
    last = changes.take()
    assert len(pieces) > 2
    assert merged([*pieces, *([] if last is None else [last.table()])]) == table_of(ledger, task.size)


def test_tokens_after_an_end_that_was_told_are_refused() -> None:
    ledger = Ledger()
    changes = Increments(ledger, size)
    ledger.issue(2, 0, 0)
    ledger.record([said(1, 1, done=True)], 5)
    taken(changes)
    ledger.record([said(1, 2)], 6)
    with pytest.raises(OildropError, match="went on after the end of answer 1"):
        changes.take()
