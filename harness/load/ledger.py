"""Every request that was issued and every token that came back, kept in flat columns while the clock runs.

The request with number i in the seed's stream is the i-th that is issued, so that its number is its row. What a step
brought is appended as it came; which token belongs to which answer is worked out after the clock has stopped.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.errors import OildropError
from oildrop.rules.evidence import RequestTable
from oildrop.workloads.protocols import Emission, RequestSize

OK = "ok"
TRUNCATED = "truncated"
OVERLONG = "overlong"
UNFINISHED = "unfinished"


class Ledger:
    """What a load generator issued and got. Times are nanoseconds since run_start.

    Attributes:
        issued: Requests that were issued.
        answered: Requests whose answers are complete.
        steps: Steps of the served model.
    """

    def __init__(self, samples_per_query: int = 1) -> None:
        self.issued = 0
        self.answered = 0
        self.steps = 0
        self._samples_per_query = samples_per_query
        self._scheduled_ns = array("q")
        self._issued_ns = array("q")
        self._step_ns = array("q")
        self._step_size = array("q")
        self._rows = array("q")
        self._sizes = array("q")
        self._done = bytearray()
        self._tokens = array("q")

    def issue(self, count: int, scheduled_ns: int, now_ns: int) -> list[int]:
        """The next `count` requests, due at `scheduled_ns`, are handed over now; returns their numbers."""
        first = self.issued
        self.issued = first + count
        self._scheduled_ns.extend((scheduled_ns,) * count)
        self._issued_ns.extend((now_ns,) * count)
        return list(range(first, self.issued))

    def take_schedule(self, scheduled_ns: Sequence[int], issued_ns: Sequence[int]) -> None:
        """Queries that somebody else issued: all of them, in order."""
        each = self._samples_per_query
        self.issued = len(issued_ns) * each
        self._scheduled_ns = array("q", (at for at in scheduled_ns for _ in range(each)))
        self._issued_ns = array("q", (at for at in issued_ns for _ in range(each)))

    def record(self, emissions: list[Emission], now_ns: int) -> int:
        """What one step brought; returns how many answers it completed."""
        self.steps += 1
        if not emissions:
            return 0
        self._step_ns.append(now_ns)
        self._step_size.append(len(emissions))
        self._rows.extend([emission.index for emission in emissions])
        tokens = [emission.tokens for emission in emissions]
        self._sizes.extend([len(each) for each in tokens])
        self._tokens.extend(chain.from_iterable(tokens))
        done = [emission.done for emission in emissions]
        self._done.extend(done)
        finished = done.count(True)
        self.answered += finished
        return finished

    @property
    def queries(self) -> int:
        """Queries that were issued."""
        return self.issued // self._samples_per_query

    def table(self, size: Callable[[int], RequestSize]) -> RequestTable:
        """One row a request, in order of issue.

        Raises:
            OildropError: The model answered what was not asked, or went on after the end of an answer.
        """
        token_rows, token_ns, token_ids, finished = self._sorted()
        edges = np.searchsorted(token_rows, np.arange(self.issued + 1)).tolist()
        stamps, ids = token_ns.tolist(), token_ids.tolist()
        gaps = np.diff(token_ns, prepend=0).tolist()
        sizes = [size(index) for index in range(self.issued)]
        spans = list(pairwise(edges))
        return RequestTable(
            index=tuple(range(self.issued)),
            query=tuple(index // self._samples_per_query for index in range(self.issued)),
            scheduled_ns=tuple(self._scheduled_ns),
            issued_ns=tuple(self._issued_ns),
            first_ns=tuple(stamps[start] if stop > start else None for start, stop in spans),
            last_ns=tuple(stamps[stop - 1] if stop > start else None for start, stop in spans),
            input_tokens=tuple(each.input_tokens for each in sizes),
            output_tokens=tuple(stop - start for start, stop in spans),
            expected_tokens=tuple(each.output_tokens for each in sizes),
            outcome=tuple(
                _outcome(done, stop - start, each.output_tokens)
                for done, (start, stop), each in zip(finished.tolist(), spans, sizes, strict=True)
            ),
            gaps_ns=tuple(tuple(gaps[start + 1 : stop]) for start, stop in spans),
            tokens=tuple(tuple(ids[start:stop]) for start, stop in spans),
        )

    def _sorted(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Row, time and id of each token, by row and within it as they came; and which rows were finished."""
        rows, sizes = _column(self._rows), _column(self._sizes)
        done = np.frombuffer(bytes(self._done), dtype=np.bool_)
        finished = self._finished(rows, done)
        step_ns = np.repeat(_column(self._step_ns), _column(self._step_size))
        token_rows = np.repeat(rows, sizes)
        order = np.argsort(token_rows, kind="stable")
        return token_rows[order], np.repeat(step_ns, sizes)[order], _column(self._tokens)[order], finished

    def _finished(self, rows: NDArray[np.int64], done: NDArray[np.bool_]) -> NDArray[np.bool_]:
        unknown = rows[(rows < 0) | (rows >= self.issued)]
        if unknown.size:
            raise OildropError(f"the model answered request {unknown[0]}, but {self.issued} were issued; mend the task")
        last = np.full(self.issued, -1, dtype=np.int64)
        last[rows] = np.arange(len(rows))
        ends = np.flatnonzero(done)
        early = ends[last[rows[ends]] != ends]
        if early.size:
            raise OildropError(f"the model went on after the end of answer {rows[early[0]]}; mend the task")
        finished = np.zeros(self.issued, dtype=np.bool_)
        finished[rows[ends]] = True
        return finished


def _outcome(done: bool, received: int, expected: int) -> str:
    if not done:
        return UNFINISHED
    if received == expected:
        return OK
    return TRUNCATED if received < expected else OVERLONG


def _column(values: array[int]) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)
