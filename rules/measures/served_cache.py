"""Prompt tokens of a served run that came from a declared prefix cache, and the rate of those that were read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from oildrop.rules import keys
from oildrop.rules.case import Case
from oildrop.rules.measures.making import absent, present
from oildrop.rules.prefix_cache import declares_cache
from oildrop.rules.records import Metric
from oildrop.rules.served import Served

HIT_RATE = "prefix_cache_hit_rate/1"
UNCACHED = "uncached_prefill_rate/1"
SERVER_SAYS_NOT = "the server does not say how many prompt tokens it found in its cache"


@dataclass(frozen=True, kw_only=True)
class PromptTokens:
    """What an engine counted while the clock ran: tokens of prompts, and those of them that it had read before."""

    asked: int
    cached: int


def prompt_tokens_of(case: Case) -> PromptTokens | None:
    """The counts of the log; None where it has none."""
    event = case.evidence.last(keys.SERVED)
    counts = [event.meta.get(f"prompt_tokens_{name}") if event is not None else None for name in ("asked", "cached")]
    asked, cached = (count if isinstance(count, int) and not isinstance(count, bool) else None for count in counts)
    return None if asked is None or cached is None else PromptTokens(asked=asked, cached=cached)


def hit_rate_metrics(case: Case) -> Iterator[Metric]:
    """`prefix_cache_hit_rate`: prompt tokens from the cache over all prompt tokens."""
    name, counts = "prefix_cache_hit_rate", prompt_tokens_of(case)
    if not declares_cache(case.evidence.spec.settings):
        reason = "no prefix cache is declared: every prompt is read whole"
        yield absent(name, reason, formula=HIT_RATE, scope="run", status="not_applicable")
    elif counts is None or counts.asked < 1:
        yield absent(name, why_unknown(case), formula=HIT_RATE, scope="run")
    else:
        yield present(name, counts.cached / counts.asked, formula=HIT_RATE, scope="run", sample_count=counts.asked)


def uncached_prefill(case: Case, served: Served) -> Metric:
    """`prefill_tokens_per_s` of a run with a prefix cache: tokens that were read, over the sum of times to first token.

    From issue, waiting included; all requests together, since which of them were found is not logged one by one.
    """
    name, counts = "prefill_tokens_per_s", prompt_tokens_of(case)
    spans = [(row, span) for row, span in enumerate(served.spans_ns) if span is not None]
    spent_ns = sum(first - served.table.issued_ns[row] for row, (first, _) in spans)
    if counts is None:
        return absent(name, why_unknown(case), formula=UNCACHED, scope="run")
    if served.failed or spent_ns <= 0:
        reason = served.failures_in_words if served.failed else "no time lies between issue and first token"
        return absent(name, reason, formula=UNCACHED, scope="run")
    read = counts.asked - counts.cached
    return present(name, read / (spent_ns / 1e9), formula=UNCACHED, scope="run", sample_count=len(spans))


def why_unknown(case: Case) -> str:
    """Why nobody knows how many prompt tokens came from the cache."""
    if case.evidence.spec.backend == "endpoint":
        return SERVER_SAYS_NOT
    return "the log does not say how many prompt tokens were found in the cache"
