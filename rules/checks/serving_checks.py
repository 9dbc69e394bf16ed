"""Rules on how a served run was loaded: long enough, on schedule, on time, every request kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from oildrop.rules import keys
from oildrop.rules.checks.registry import Broken, Judged, broken, rule
from oildrop.rules.errors import OildropError
from oildrop.rules.formulas.arrivals import arrivals_ns
from oildrop.rules.formulas.early_stopping import least_queries_for_estimate
from oildrop.rules.formulas.latency import percentile
from oildrop.rules.served import Served

REPEAT = "repeat the run with an unchanged harness"
QUIET = "end other work on the machine that makes the load, and repeat the run with an unchanged harness"
LATENESS_SHARE = 0.1
LATENESS_FLOOR_S = 0.001
WITH_ARRIVALS = ("server", "interactive")


@rule("R034")
def long_enough(judged: Judged) -> Iterator[Broken]:
    """Minimum duration and queries of the scenario."""
    terms, served, run_s = judged.case.terms, judged.case.served, judged.case.timeline.run_s
    if judged.verdict.outcome != "ok" or terms is None or served is None or run_s is None:
        return
    if run_s < terms.minimum_s:
        message = f"the run lasted {run_s:.3f} s, its scenario asks for {terms.minimum_s:g} s"
        yield broken(message, REPEAT, run_s=run_s, minimum_s=terms.minimum_s)
    queries = len(set(served.table.query))
    if queries < terms.minimum_queries:
        message = f"{queries} queries were served, the scenario asks for {terms.minimum_queries}"
        yield broken(message, REPEAT, queries=queries, minimum_queries=terms.minimum_queries)


@rule("R035")
def arrivals_are_the_rulebooks(judged: Judged) -> Iterator[Broken]:
    """Scheduled times follow from seed and rate, or from the answers before; nothing is issued before it is due."""
    served, spec = judged.case.served, judged.case.evidence.spec
    if served is None:
        return
    early = sum(late_s < 0 for late_s in served.lateness_s)
    if early:
        yield broken(f"{early} of {served.count} requests were issued before they were due", REPEAT, early=early)
    if spec.scenario not in WITH_ARRIVALS:
        yield from _late_dues(judged, served)
        return
    if spec.rate_per_s is None:
        yield broken(f"the run says no rate, which scenario {spec.scenario} needs", REPEAT)
        return
    due = dict(zip(served.table.query, served.table.scheduled_ns, strict=True))
    try:
        expected = arrivals_ns(spec.seed, spec.rate_per_s, len(due))
    except OildropError as error:
        yield broken(str(error), "choose a rate that the schedule can be made for", rate_per_s=spec.rate_per_s)
        return
    pairs = zip(sorted(due.items()), expected, strict=True)
    wrong = next(((query, at, wanted) for (query, at), wanted in pairs if at != wanted), None)
    if wrong is not None:
        query, at, wanted = wrong
        message = f"query {query} was due at {at} ns; seed and rate say {wanted} ns"
        yield broken(message, REPEAT, query=query, scheduled_ns=at, expected_ns=wanted)


def _late_dues(judged: Judged, served: Served) -> Iterator[Broken]:
    """Whether in a closed loop queries were due as soon as answers had made room for them.

    One gap alone may be chance: of fewer than 100 it would be the percentile. One longer than an answer is none.
    """
    streams = _streams(judged)
    gaps_s = sorted(idle_gaps_s(served, streams)) if streams is not None else []
    if not gaps_s:
        return
    median_s = percentile(sorted(served.request_latencies_s[row] for row in served.answered), 0.5)
    limit_s = max(LATENESS_FLOOR_S, LATENESS_SHARE * median_s)
    found_s = percentile(gaps_s[:-1] if len(gaps_s) > 1 and gaps_s[-1] <= median_s else gaps_s, 0.99)
    if found_s > limit_s:
        message = (
            f"1 in 100 queries was due {found_s:.3g} s or more after the answer that made room for it; at most "
            f"{limit_s:.3g} s"
        )
        yield broken(message, QUIET, gap_s_p99=found_s, limit_s=limit_s)


def _streams(judged: Judged) -> int | None:
    """Queries in flight of a closed loop; None where the scenario is none, or does not say."""
    spec = judged.case.evidence.spec
    if spec.scenario == "concurrency":
        streams = spec.settings.get("scenario.concurrency")
        return streams if isinstance(streams, int) and streams > 0 else None
    return 1 if spec.scenario in ("single-stream", "multi-stream") else None


def idle_gaps_s(served: Served, streams: int) -> list[float]:
    """Time from each answer of a closed loop to when the query was due for which it made room.

    The n-th end makes room for query `streams` + n. The end of a query that failed is in no row: those after it are
    then held against later ends, so that failures make gaps shorter and never longer.
    """
    due_ns: dict[int, int] = {}
    end_ns: dict[int, int | None] = {}
    rows = zip(served.table.query, served.table.scheduled_ns, served.spans_ns, strict=True)
    for query, scheduled_ns, span in rows:
        due_ns[query] = min(scheduled_ns, due_ns.get(query, scheduled_ns))
        before = end_ns.get(query, 0)
        end_ns[query] = None if span is None or before is None else max(span[1], before)
    ends = sorted(end for end in end_ns.values() if end is not None)
    return [(due - end) / 1e9 for due, end in zip(sorted(due_ns.values())[streams:], ends, strict=False)]


@rule("R036")
def generator_kept_up(judged: Judged) -> Iterator[Broken]:
    """p99 of dispatch lateness against the bounds that it is a part of, or the median latency of what was answered."""
    served, terms, late = judged.case.served, judged.case.terms, judged.metrics.get("dispatch_lateness_s_p99")
    if served is None or terms is None or late is None or late.value is None:
        return
    if judged.case.evidence.spec.scenario == "offline" or not served.answered:
        return
    bounds = [limit for limit in (terms.bounds.ttft_s, terms.bounds.latency_s) if limit is not None]
    median_s = percentile(sorted(served.request_latencies_s[row] for row in served.answered), 0.5)
    limit_s = max(LATENESS_FLOOR_S, LATENESS_SHARE * (min(bounds) if bounds else median_s))
    if late.value > limit_s:
        message = f"1 in 100 requests was handed over {late.value:.3g} s late or more; at most {limit_s:.3g} s"
        yield broken(
            message, "end other work on the machine that makes the load, or offer a lower rate",
            lateness_s_p99=late.value, limit_s=limit_s,
        )  # fmt: skip


@rule("R037")
def every_request_kept(judged: Judged) -> Iterator[Broken]:
    """Counts of queries, requests and failures are the generator's; each request stands once."""
    case = judged.case
    served, event = case.served, case.evidence.last(keys.SERVED)
    if served is None:
        if judged.ended_itself:
            yield broken("the run's table of requests is not in the bundle", REPEAT)
        return
    counts = {
        "queries": (len(set(served.table.query)), event.value if event is not None else None),
        "requests": (served.count, event.meta.get("requests") if event is not None else None),
        "errors": (served.failed, event.meta.get("errors") if event is not None else None),
    }
    counting_ended = event is not None or case.timeline.run_stop_ns is not None
    for what, (kept, counted) in counts.items():
        if counting_ended and kept != counted:
            yield broken(f"the table holds {kept} {what}, the generator counted {counted}", REPEAT, **{what: kept})
    twice = [index for index, times in Counter(served.table.index).items() if times > 1]
    if twice:
        yield broken(f"request {twice[0]} stands more than once ({len(twice)} such)", REPEAT, requests=len(twice))
    yield from _uneven_queries(judged, served)


def _uneven_queries(judged: Judged, served: Served) -> Iterator[Broken]:
    terms = judged.case.terms
    if terms is None or judged.case.evidence.spec.scenario == "offline":
        return
    sizes = Counter(served.table.query)
    uneven = [query for query, size in sizes.items() if size != terms.samples_per_query]
    if uneven:
        message = f"query {uneven[0]} has {sizes[uneven[0]]} requests, the scenario asks for {terms.samples_per_query}"
        yield broken(message, REPEAT, queries=len(uneven))


@rule("R050")
def served_to_the_end(judged: Judged) -> Iterator[Broken]:
    """The run was not ended while it served."""
    case, served = judged.case, judged.case.served
    if served is None or case.timeline.run_stop_ns is not None or judged.verdict.outcome == "started":
        return
    until = "" if served.stop_ns is None else f" until {served.stop_ns / 1e9:.1f} s after run_start"
    message = (
        f"the run was ended while it served: what is shown is of the {served.count} requests that were kept{until}, "
        f"{served.failed} of them without a whole answer"
    )
    yield broken(message, "see the run's outcome, and repeat it", requests=served.count, failed=served.failed)


@rule("R045")
def queries_enough(judged: Judged) -> Iterator[Broken]:
    """As many queries as the early-stopping bound needs for an estimate."""
    served, terms = judged.case.served, judged.case.terms
    if served is None or terms is None or not judged.ended_itself:
        return
    least, count = least_queries_for_estimate(terms.percentile), len(served.latencies_s)
    if count < least:
        message = f"{count} queries say little of the {100 * terms.percentile:g}th percentile; {least} make it sure"
        yield broken(message, "measure longer, or at a tier with full durations", queries=count, least=least)
