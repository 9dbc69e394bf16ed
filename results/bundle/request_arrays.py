"""Requests as arrays, for a writer that has them so and must not spend a moment on each row.

Shape suffixes: R requests, T tokens of all of them, one request's after another's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from oildrop.results.bundle.durable import write_durably
from oildrop.results.bundle.requests import request_bytes
from oildrop.rules.evidence import RequestTable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class RequestArrays:
    """The columns of `RequestTable`; those of tokens follow from `edges`, which is one longer than there are requests.

    Attributes:
        edges: int64 [R + 1]: request r has the tokens from `edges[r]` to before `edges[r + 1]`.
        token_ns: int64 [T]: when each came.
        tokens: int64 [T]: their ids.
    """

    index: NDArray[np.int64]
    query: NDArray[np.int64]
    scheduled_ns: NDArray[np.int64]
    issued_ns: NDArray[np.int64]
    input_tokens: NDArray[np.int64]
    expected_tokens: NDArray[np.int64]
    outcome: Sequence[str]
    edges: NDArray[np.int64]
    token_ns: NDArray[np.int64]
    tokens: NDArray[np.int64]

    @property
    def output_tokens(self) -> NDArray[np.int64]:
        """int64 [R]."""
        received: NDArray[np.int64] = self.edges[1:] - self.edges[:-1]
        return received

    def gaps_ns(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Edges int64 [R + 1] and values: the time of each token after a request's first since the one before."""
        import numpy as np

        received = self.output_tokens
        later = np.ones(len(self.token_ns), dtype=np.bool_)
        later[self.edges[:-1][received > 0]] = False
        edges = np.concatenate(([0], np.cumsum(np.maximum(received - 1, 0))))
        return edges, np.diff(self.token_ns, prepend=0)[later]

    def ends_ns(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """First and last token of each request, int64 [R], and bool [R] whether it has none: both are 0 then."""
        import numpy as np

        none = self.output_tokens == 0
        padded = np.append(self.token_ns, 0)
        first, last = padded[self.edges[:-1]], padded[np.maximum(self.edges[1:] - 1, 0)]
        return np.where(none, 0, first), np.where(none, 0, last), none

    def table(self) -> RequestTable:
        """The same as tuples."""
        first, last, none = self.ends_ns()
        gap_edges, gaps = self.gaps_ns()
        missing = none.tolist()
        return RequestTable(
            index=tuple(self.index.tolist()),
            query=tuple(self.query.tolist()),
            scheduled_ns=tuple(self.scheduled_ns.tolist()),
            issued_ns=tuple(self.issued_ns.tolist()),
            first_ns=tuple(None if no else at for at, no in zip(first.tolist(), missing, strict=True)),
            last_ns=tuple(None if no else at for at, no in zip(last.tolist(), missing, strict=True)),
            input_tokens=tuple(self.input_tokens.tolist()),
            output_tokens=tuple(self.output_tokens.tolist()),
            expected_tokens=tuple(self.expected_tokens.tolist()),
            outcome=tuple(self.outcome),
            gaps_ns=_cut(gaps, gap_edges),
            tokens=_cut(self.tokens, self.edges),
        )


def write_request_arrays(path: Path, requests: RequestArrays) -> None:
    """Write one chunk of requests, whole or not at all and on disk on return. Raises OSError."""
    path.parent.mkdir(exist_ok=True)
    write_durably(path, _bytes(requests))


def load_arrow() -> None:
    """Load all that writing needs (that takes a second), so that the first chunk is as quick as the others."""
    import numpy as np

    one = np.zeros(1, dtype=np.int64)
    _bytes(
        RequestArrays(
            index=one, query=one, scheduled_ns=one, issued_ns=one, input_tokens=one, expected_tokens=one,
            outcome=("ok",), edges=np.arange(2), token_ns=one, tokens=one,
        )
    )  # fmt: skip


def _bytes(requests: RequestArrays) -> bytes:
    import numpy as np
    import pyarrow as pa

    first, last, none = requests.ends_ns()
    gap_edges, gaps = requests.gaps_ns()
    return request_bytes(
        {
            "index": requests.index,
            "query": requests.query,
            "scheduled_step_ns": np.diff(requests.scheduled_ns, prepend=0),
            "issue_delay_ns": requests.issued_ns - requests.scheduled_ns,
            "first_delay_ns": pa.array(first - requests.issued_ns, mask=none),
            "last_delay_ns": pa.array(last - requests.issued_ns, mask=none),
            "input_tokens": requests.input_tokens,
            "output_tokens": requests.output_tokens,
            "expected_tokens": requests.expected_tokens,
            "outcome": pa.array(requests.outcome, pa.string()),
            "gaps_ns": pa.ListArray.from_arrays(pa.array(gap_edges, pa.int32()), pa.array(gaps)),
            "tokens": pa.ListArray.from_arrays(pa.array(requests.edges, pa.int32()), pa.array(requests.tokens)),
        }
    )


def _cut(values: NDArray[np.int64], edges: NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
    listed, places = values.tolist(), edges.tolist()
    return tuple(tuple(listed[start:stop]) for start, stop in pairwise(places))
