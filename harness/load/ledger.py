"""Every request that was issued and every token that came back, kept in flat columns while the clock runs.

The request with number i in the seed's stream is the i-th that is issued, so that its number is its row. What a step
brought is appended as it came; which token belongs to which answer is worked out elsewhere (`increments.py`), also by
another thread while the clock runs. It takes no lock: what is appended last tells it how much of the rest is whole.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.served_protocols import Emission


class Released(Protocol):
    """Who releases queries by a schedule.

    Attributes:
        released: Queries that were released.
        issued_ns: When each of them was.
    """

    released: int
    issued_ns: array[int]


@dataclass(frozen=True, kw_only=True)
class Mark:
    """How much of a ledger has been read: requests, steps, emissions, tokens."""

    issued: int = 0
    steps: int = 0
    emissions: int = 0
    tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class News:
    """What a ledger holds past a mark, each int64: of requests that were issued, of emissions, of their tokens."""

    mark: Mark
    scheduled_ns: NDArray[np.int64]
    issued_ns: NDArray[np.int64]
    rows: NDArray[np.int64]
    sizes: NDArray[np.int64]
    came_ns: NDArray[np.int64]
    done: NDArray[np.bool_]
    tokens: NDArray[np.int64]


class Ledger:
    """What a load generator issued and got. Times are nanoseconds since run_start.

    Attributes:
        issued: Requests that were issued; where somebody else does it, once all were.
        answered: Requests whose answers are complete.
        steps: Steps of the served model.
    """

    def __init__(self, samples_per_query: int = 1) -> None:
        self.issued = 0
        self.answered = 0
        self.steps = 0
        self.samples_per_query = samples_per_query
        self._scheduled_ns = array("q")
        self._issued_ns = array("q")
        self._step_ns = array("q")
        self._step_size = array("q")
        self._rows = array("q")
        self._sizes = array("q")
        self._done = bytearray()
        self._tokens = array("q")
        self._schedule: tuple[Sequence[int], Released] | None = None

    def issue(self, count: int, scheduled_ns: int, now_ns: int) -> list[int]:
        """The next `count` requests, due at `scheduled_ns`, are handed over now; returns their numbers."""
        first = self.issued
        self.issued = first + count
        self._scheduled_ns.extend((scheduled_ns,) * count)
        self._issued_ns.extend((now_ns,) * count)
        return list(range(first, self.issued))

    def follow(self, schedule_ns: Sequence[int], issuer: Released) -> None:
        """Queries are issued by `issuer` at the times of a schedule, not here."""
        self._schedule = (schedule_ns, issuer)

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
        return self.issued // self.samples_per_query

    def since(self, mark: Mark) -> News:
        """What has come after `mark`, up to the last whole step; any thread may ask."""
        emissions = len(self._done)  # first: of what a step brings it is appended last
        ends = np.cumsum(_column(self._step_size[mark.steps :]), dtype=np.int64)
        steps = int(np.searchsorted(ends, emissions - mark.emissions, side="right"))
        emissions = mark.emissions + (int(ends[steps - 1]) if steps else 0)
        sizes = _column(self._sizes[mark.emissions : emissions])
        tokens = mark.tokens + int(sizes.sum())
        scheduled_ns, issued_ns = self._issued_since(mark.issued)
        until = mark.steps + steps
        return News(
            mark=Mark(issued=mark.issued + len(issued_ns), steps=until, emissions=emissions, tokens=tokens),
            scheduled_ns=scheduled_ns,
            issued_ns=issued_ns,
            rows=_column(self._rows[mark.emissions : emissions]),
            sizes=sizes,
            came_ns=np.repeat(_column(self._step_ns[mark.steps : until]), _column(self._step_size[mark.steps : until])),
            done=np.frombuffer(self._done[mark.emissions : emissions], dtype=np.bool_),
            tokens=_column(self._tokens[mark.tokens : tokens]),
        )

    def _issued_since(self, first: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """When each request from number `first` on was due, and when it was issued."""
        if self._schedule is None:
            until = len(self._issued_ns)  # of an issue it is appended last
            return _column(self._scheduled_ns[first:until]), _column(self._issued_ns[first:until])
        schedule_ns, issuer = self._schedule
        each, until = self.samples_per_query, issuer.released
        queries = slice(first // each, until)
        due = np.array(schedule_ns[queries], dtype=np.int64)
        return np.repeat(due, each), np.repeat(_column(issuer.issued_ns[queries]), each)


def _column(values: array[int]) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)
