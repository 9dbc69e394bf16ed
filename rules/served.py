"""What the requests of one served run say together: latencies, tokens, failures.

Times are seconds. A request that failed stays in with infinite times and rates of 0: it is the worst there was.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from oildrop.rules.evidence import RequestTable
from oildrop.rules.formulas.latency import rate_per_s, time_per_output_token_s
from oildrop.rules.rulebook_parts import Bounds

OK = "ok"
UNFINISHED = "unfinished"
WITHOUT_TIMES = "without times"

FAILED_REQUESTS = "R042"
"""The rule that finds a run of which requests failed."""


@dataclass(frozen=True)
class Served:
    """The table of requests and what follows from it, each worked out once when first asked for.

    Tuples "a request" are in order of issue.

    Attributes:
        by_query: Whether a latency is that of a query, its slowest answer, and not of each request.
        by_token: Whether answers come token by token whatever their length, so that one token is an answer's first.
        stop_ns: run_stop, nanoseconds since run_start; where it was not logged, until when all is known; else None.
    """

    table: RequestTable
    by_query: bool = False
    by_token: bool = False
    stop_ns: int | None = None

    @property
    def count(self) -> int:
        """Requests that were issued."""
        return len(self.table.index)

    @cached_property
    def spans_ns(self) -> tuple[tuple[int, int] | None, ...]:
        """First and last token of each request that was answered in full; None of one that failed."""
        rows = zip(self.table.outcome, self.table.first_ns, self.table.last_ns, strict=True)
        return tuple(
            (first, last) if outcome == OK and first is not None and last is not None else None
            for outcome, first, last in rows
        )

    @cached_property
    def answered(self) -> tuple[int, ...]:
        """Rows of the requests that were answered in full."""
        return tuple(row for row, span in enumerate(self.spans_ns) if span is not None)

    @property
    def failed(self) -> int:
        """How many requests failed."""
        return self.count - len(self.answered)

    @cached_property
    def failures(self) -> dict[str, int]:
        """Requests that failed, by outcome, the most frequent first."""
        rows = zip(self.table.outcome, self.spans_ns, strict=True)
        words = Counter(outcome if outcome != OK else WITHOUT_TIMES for outcome, span in rows if span is None)
        return dict(sorted(words.items(), key=lambda item: (-item[1], item[0])))

    @property
    def failures_in_words(self) -> str:
        """`3 of 200 requests failed: 2 http_500, 1 cut`."""
        listed = ", ".join(f"{number} {outcome}" for outcome, number in self.failures.items())
        return f"{self.failed} of {self.count} requests failed: {listed}"

    @cached_property
    def has_tokens(self) -> bool:
        """Whether answers come token by token; images and sentences have one answer each."""
        return self.by_token or any(asked > 1 for asked in self.table.expected_tokens)

    @cached_property
    def wall_ns(self) -> int | None:
        """From run_start to the last answer, or to run_stop where a request failed; None where nothing was answered.

        How long a failed request was waited for is in no row: without that time a server that answers for a second and
        is silent for thirty would be as fast as in its one second.
        """
        last_ns = max((span[1] for span in self.spans_ns if span is not None), default=None)
        if last_ns is None or not self.failed or self.stop_ns is None:
            return last_ns
        return max(last_ns, self.stop_ns)

    @property
    def output_tokens(self) -> int:
        """Tokens of all answers that came in full."""
        return sum(self.table.output_tokens[row] for row in self.answered)

    @property
    def input_tokens(self) -> int:
        """Prompt tokens of all requests that were answered in full."""
        return sum(self.table.input_tokens[row] for row in self.answered)

    @cached_property
    def request_latencies_s(self) -> tuple[float, ...]:
        """From the scheduled time to the last token, a request."""
        return self._each(lambda row, span: (span[1] - self.table.scheduled_ns[row]) / 1e9)

    @cached_property
    def latencies_s(self) -> tuple[float, ...]:
        """As `request_latencies_s`; where `by_query`, of each query the slowest."""
        if not self.by_query:
            return self.request_latencies_s
        slowest: dict[int, float] = {}
        for query, latency_s in zip(self.table.query, self.request_latencies_s, strict=True):
            slowest[query] = max(latency_s, slowest.get(query, latency_s))
        return tuple(slowest.values())

    @cached_property
    def ttfts_s(self) -> tuple[float, ...]:
        """From the scheduled time to the first token, a request."""
        return self._each(lambda row, span: (span[0] - self.table.scheduled_ns[row]) / 1e9)

    @cached_property
    def tpots_s(self) -> tuple[float | None, ...]:
        """Mean time of a token after the first, a request; None where there is no second."""
        received = self.table.output_tokens

        def tpot_s(row: int, span: tuple[int, int]) -> float | None:
            return time_per_output_token_s(*span, received[row]) if received[row] > 1 else None

        rows = zip(self.spans_ns, self.table.expected_tokens, strict=True)
        return tuple(
            tpot_s(row, span) if span is not None else (math.inf if asked > 1 else None)
            for row, (span, asked) in enumerate(rows)
        )

    @cached_property
    def gaps_s(self) -> tuple[float, ...]:
        """Times between tokens, all requests pooled; a failed one has an infinite gap for each that it asked for."""
        pooled: list[float] = []
        for span, gaps, asked in zip(self.spans_ns, self.table.gaps_ns, self.table.expected_tokens, strict=True):
            pooled.extend([math.inf] * max(asked - 1, 0) if span is None else [gap / 1e9 for gap in gaps])
        return tuple(pooled)

    @cached_property
    def lateness_s(self) -> tuple[float, ...]:
        """From the scheduled time to the issue, a request; failed ones were issued too."""
        pairs = zip(self.table.issued_ns, self.table.scheduled_ns, strict=True)
        return tuple((issued - scheduled) / 1e9 for issued, scheduled in pairs)

    @cached_property
    def prefill_rates_per_s(self) -> tuple[float, ...]:
        """Prompt tokens over the time from issue to first token, a request."""
        table = self.table
        return self._each(
            lambda row, span: rate_per_s(table.input_tokens[row], span[0] - table.issued_ns[row]), failed=0.0
        )

    @cached_property
    def decode_rates_per_s(self) -> tuple[float, ...]:
        """(n - 1) / (last - first) of each request that asked for two tokens or more."""
        received = self.table.output_tokens
        each = self._each(lambda row, span: rate_per_s(received[row] - 1, span[1] - span[0]), failed=0.0)
        return tuple(rate for rate, asked in zip(each, self.table.expected_tokens, strict=True) if asked > 1)

    def within(self, bounds: Bounds) -> tuple[bool, ...]:
        """Whether each request was answered within `bounds`; one that failed never was."""
        limits = (bounds.latency_s, bounds.ttft_s, bounds.tpot_s)
        found = zip(self.request_latencies_s, self.ttfts_s, self.tpots_s, strict=True)
        return tuple(
            span is not None and _under(times, limits) for span, times in zip(self.spans_ns, found, strict=True)
        )

    def missed(self, bounds: Bounds) -> tuple[int, int]:
        """How many requests (queries, where `by_query`: one of theirs is enough) were not within, and of how many."""
        within = self.within(bounds)
        if not self.by_query:
            return within.count(False), self.count
        late = {query for query, held in zip(self.table.query, within, strict=True) if not held}
        return len(late), len(set(self.table.query))

    def _each(self, of: Callable[[int, tuple[int, int]], float], *, failed: float = math.inf) -> tuple[float, ...]:
        return tuple(failed if span is None else of(row, span) for row, span in enumerate(self.spans_ns))


def _under(times: tuple[float | None, ...], limits: tuple[float | None, ...]) -> bool:
    return all(time is None or limit is None or time <= limit for time, limit in zip(times, limits, strict=True))
