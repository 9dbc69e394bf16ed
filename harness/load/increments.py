"""Requests out of what a ledger holds: all of them, or a piece at a time what has changed since the piece before.

Shape suffixes: L requests that are not ended, R of these the changed ones, E emissions, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oildrop.harness.load.ledger import Ledger, Mark, News
from oildrop.results.bundle.request_arrays import RequestArrays
from oildrop.rules.errors import OildropError
from oildrop.rules.evidence import RequestTable
from oildrop.rules.served import OK, UNFINISHED
from oildrop.workloads.served_protocols import RequestSize

TRUNCATED = "truncated"
OVERLONG = "overlong"

Ints = NDArray[np.int64]
Size = Callable[[int], RequestSize]


@dataclass(frozen=True, kw_only=True)
class _Open:
    """Requests without an end so far, in order of their number, and the tokens that they have, each with its row."""

    row_L: Ints
    scheduled_L: Ints
    issued_L: Ints
    row_T: Ints
    came_T: Ints
    token_T: Ints

    def with_news(self, news: News, first: int) -> _Open:
        """Beside what has come since; requests from number `first` on are new."""
        return _Open(
            row_L=np.concatenate((self.row_L, np.arange(first, first + len(news.issued_ns)))),
            scheduled_L=np.concatenate((self.scheduled_L, news.scheduled_ns)),
            issued_L=np.concatenate((self.issued_L, news.issued_ns)),
            row_T=np.concatenate((self.row_T, np.repeat(news.rows, news.sizes))),
            came_T=np.concatenate((self.came_T, np.repeat(news.came_ns, news.sizes))),
            token_T=np.concatenate((self.token_T, news.tokens)),
        )

    def only(self, wanted_L: NDArray[np.bool_]) -> _Open:
        """Those that are wanted, with their tokens."""
        wanted_T = np.isin(self.row_T, self.row_L[wanted_L])
        return _Open(
            row_L=self.row_L[wanted_L],
            scheduled_L=self.scheduled_L[wanted_L],
            issued_L=self.issued_L[wanted_L],
            row_T=self.row_T[wanted_T],
            came_T=self.came_T[wanted_T],
            token_T=self.token_T[wanted_T],
        )


class Increments:
    """Reads a ledger piece by piece, also while it is written.

    Args:
        size: What each request asks for.
    """

    def __init__(self, ledger: Ledger, size: Size) -> None:
        nothing = np.empty(0, dtype=np.int64)
        self._ledger, self._size = ledger, size
        self._mark = Mark()
        self._open = _Open(
            row_L=nothing, scheduled_L=nothing, issued_L=nothing, row_T=nothing, came_T=nothing, token_T=nothing
        )

    def take(self) -> RequestArrays | None:
        """Requests that were issued, got a token or ended since the last call; None where there are none.

        Raises:
            OildropError: The model answered what was not asked, or went on after the end of an answer.
        """
        first = self._mark.issued
        news = self._ledger.since(self._mark)
        live = self._open.with_news(news, first)
        _check(news, live.row_L)
        ended_L = np.isin(live.row_L, news.rows[news.done])
        changed_L = ended_L | np.isin(live.row_L, news.rows) | (live.row_L >= first)
        self._mark, self._open = news.mark, live.only(~ended_L)
        return self._arrays(live.only(changed_L), ended_L[changed_L]) if changed_L.any() else None

    def _arrays(self, of: _Open, ended_R: NDArray[np.bool_]) -> RequestArrays:
        order = np.argsort(of.row_T, kind="stable")
        row_T = of.row_T[order]
        edges = np.append(np.searchsorted(row_T, of.row_L), len(row_T))
        sizes = [self._size(index) for index in of.row_L.tolist()]
        expected = [size.output_tokens for size in sizes]
        ends = zip(ended_R.tolist(), np.diff(edges).tolist(), expected, strict=True)
        return RequestArrays(
            index=of.row_L,
            query=of.row_L // self._ledger.samples_per_query,
            scheduled_ns=of.scheduled_L,
            issued_ns=of.issued_L,
            input_tokens=np.array([size.input_tokens for size in sizes], dtype=np.int64),
            expected_tokens=np.array(expected, dtype=np.int64),
            outcome=[_outcome(*each) for each in ends],
            edges=edges,
            token_ns=of.came_T[order],
            tokens=of.token_T[order],
        )


def table_of(ledger: Ledger, size: Size) -> RequestTable:
    """All requests of a ledger, one row a request in order of issue. Raises OildropError as `Increments.take`."""
    arrays = Increments(ledger, size).take()
    columns = RequestTable.__dataclass_fields__
    return arrays.table() if arrays is not None else RequestTable(**{name: () for name in columns})


def _check(news: News, live_L: Ints) -> None:
    """Answers are of requests that were issued and had not ended."""
    issued = news.mark.issued
    unknown = news.rows[(news.rows < 0) | (news.rows >= issued)]
    if unknown.size:
        raise OildropError(f"the model answered request {unknown[0]}, but {issued} were issued; mend the task")
    after = news.rows[~np.isin(news.rows, live_L)]
    last_E = np.full(issued, -1, dtype=np.int64)
    last_E[news.rows] = np.arange(len(news.rows))
    ends_E = np.flatnonzero(news.done)
    early = news.rows[ends_E[last_E[news.rows[ends_E]] != ends_E]]
    for row in (*after[:1], *early[:1]):
        raise OildropError(f"the model went on after the end of answer {row}; mend the task")


def _outcome(ended: bool, received: int, expected: int) -> str:
    if not ended:
        return UNFINISHED
    if received == expected:
        return OK
    return TRUNCATED if received < expected else OVERLONG
