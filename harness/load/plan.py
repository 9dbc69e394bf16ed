"""What a load generator is to issue, and when it gives up. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from oildrop.rules.errors import UsageError
from oildrop.rules.formulas.arrivals import schedule_ns
from oildrop.rules.rulebook_parts import Bounds, Terms

NS_PER_S = 10**9

ARRIVALS = ("server", "interactive")
"""Scenarios whose queries arrive by a schedule, whether those before were answered or not."""

BACKLOG = 4
"""A queue is hopeless at so many times the length at which the mean answer breaks its bounds."""

SIZES_ASKED = 256
"""Requests at the front of the stream among which the longest answer is looked for."""


@dataclass(frozen=True, kw_only=True)
class LoadPlan:
    """A scenario as its generator takes it; times are nanoseconds since run_start.

    Attributes:
        scenario: Its name in the rulebook.
        minimum_ns: Queries are issued until then at least.
        minimum_queries: And so many at least.
        samples_per_query: Requests that are issued together and counted as one query.
        streams: Queries in flight at a time, where each answer makes room for the next query.
        schedule_ns: When each query is due, where they arrive by a schedule.
        backlog_limit: Unanswered requests at which a schedule is given up; None is no limit.
        drain_ns: Longest wait for answers after a schedule's last query.
        deadline_ns: When everything is given up.
    """

    scenario: str
    minimum_ns: int
    minimum_queries: int
    samples_per_query: int
    deadline_ns: int
    streams: int = 1
    schedule_ns: tuple[int, ...] = field(default=(), repr=False)
    backlog_limit: int | None = None
    drain_ns: int = 0


def load_plan(
    scenario: str,
    terms: Terms,
    *,
    seed: int,
    rate_per_s: float | None,
    concurrency: int,
    deadline_s: float,
    output_tokens: Callable[[int], int],
) -> LoadPlan:
    """The plan of one served run.

    Args:
        rate_per_s: Queries a second to offer; of scenarios with arrivals alone.
        concurrency: Queries in flight of scenario `concurrency`.
        deadline_s: Seconds from run_start after which everything is given up.
        output_tokens: Tokens that a request of the stream asks for, by its number.

    Raises:
        UsageError: The scenario has arrivals and no rate was given.
    """
    minimum_ns = round(terms.minimum_s * NS_PER_S)
    schedule: tuple[int, ...] = ()
    backlog_limit = None
    if scenario in ARRIVALS:
        if rate_per_s is None:
            raise UsageError(f"scenario {scenario} needs a rate, in queries a second; give it with --rate")
        times = schedule_ns(seed, rate_per_s, minimum_ns=minimum_ns, minimum_count=terms.minimum_queries)
        schedule = tuple(times)
        longest = max(map(output_tokens, range(min(SIZES_ASKED, len(times) * terms.samples_per_query))))
        backlog_limit = _backlog_limit(terms, rate_per_s, longest)
    return LoadPlan(
        scenario=scenario,
        minimum_ns=minimum_ns,
        minimum_queries=terms.minimum_queries,
        samples_per_query=terms.samples_per_query,
        deadline_ns=round(deadline_s * NS_PER_S),
        streams=concurrency if scenario == "concurrency" else 1,
        schedule_ns=schedule,
        backlog_limit=backlog_limit,
        drain_ns=minimum_ns,
    )


def longest_answer_s(bounds: Bounds, output_tokens: int) -> float | None:
    """Seconds that an answer of `output_tokens` tokens may take; None where nothing bounds it."""
    by_token = None
    if bounds.ttft_s is not None and bounds.tpot_s is not None:
        by_token = bounds.ttft_s + bounds.tpot_s * (output_tokens - 1)
    allowed = [limit for limit in (bounds.latency_s, by_token) if limit is not None]
    return min(allowed, default=None)


def _backlog_limit(terms: Terms, rate_per_s: float, output_tokens: int) -> int | None:
    """Unanswered requests that no system has which keeps the bounds at this rate.

    By Little's law (rate x mean time in the system = mean number in it) a longer queue than rate x longest answer
    means that the mean answer breaks its bounds; chance and the first queries are allowed for.

    Source: Little, "A proof for the queuing formula L = lambda W", Operations Research 9, 1961.
    """
    longest_s = longest_answer_s(terms.bounds, output_tokens)
    if longest_s is None:
        return None
    return terms.samples_per_query * (terms.minimum_queries + math.ceil(BACKLOG * rate_per_s * longest_s))
