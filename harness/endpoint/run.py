"""One run against a server: what the worker does where the backend is `endpoint`.

The worker is the load generator's own process. The clock runs from the first request to the last answer; the server,
its model and what it takes in a request are settled before. Only the client knows the host's name and the key.
"""

from __future__ import annotations

import asyncio
import os
import resource
import time
from pathlib import Path
from typing import Any

from oildrop.harness.endpoint import outcomes
from oildrop.harness.endpoint.answer import Answer
from oildrop.harness.endpoint.client import Client
from oildrop.harness.endpoint.drive import Driver, Load
from oildrop.harness.endpoint.environment import read_target
from oildrop.harness.endpoint.preflight import server_metrics
from oildrop.harness.endpoint.repeats import look_for_server_cache
from oildrop.harness.endpoint.reserve import Reserve
from oildrop.harness.endpoint.settled import settle
from oildrop.harness.endpoint.table import Changes, Ledger
from oildrop.harness.load.heap import quiet_heap
from oildrop.harness.load.journal import Journal
from oildrop.harness.load.stops import DEADLINE, ERROR, MINIMUM
from oildrop.harness.messages import Emitter, Heartbeat
from oildrop.harness.orders import Orders
from oildrop.harness.phases import End, benchmark_of, phase
from oildrop.harness.repeats import is_probed
from oildrop.harness.served_end import end_of
from oildrop.harness.serving import terms_of
from oildrop.results.bundle.request_arrays import load_arrow
from oildrop.results.collector import collector_paused
from oildrop.rules import keys
from oildrop.rules.errors import OildropError, Unsupported
from oildrop.rules.evidence import RequestTable
from oildrop.rules.formulas.arrivals import schedule_ns
from oildrop.rules.records import RunSpec
from oildrop.rules.rulebook_parts import Terms

LAST_WORDS_S = 5.0
"""Kept back from the deadline, to write down what was measured."""

LOOK_S = 20.0
"""A cache is looked for so long at most, or as long as the scenario lasts at least."""

SPARE_FILES = 64


def run_endpoint(spec: RunSpec, orders: Orders, emitter: Emitter, heartbeat: Heartbeat) -> End:
    """All phases of one run against a server, up to the last chunk of its requests.

    Raises:
        Unsupported: There is no server, or not the one that was declared.
    """
    load_arrow()
    begun_s = time.monotonic()
    benchmark = benchmark_of(spec, emitter)
    terms = terms_of(benchmark, spec)
    emitter.emit(keys.PROCESS, f"worker-{orders.rank}", {"pid": os.getpid(), "device_uuids": []})
    emitter.flush()
    end_s = begun_s + spec.limits.deadline_s - LAST_WORDS_S
    samples = orders.run_dir / "samples"
    table, stopped_by = asyncio.run(_drive(spec, terms, emitter, heartbeat, end_s, samples))
    emitter.emit(keys.PHASE, "teardown")
    return end_of(spec, table, None, stopped_by)


async def _drive(
    spec: RunSpec,
    terms: Terms,
    emitter: Emitter,
    heartbeat: Heartbeat,
    end_s: float,
    samples: Path,
) -> tuple[RequestTable, str]:
    """Settle, load until `end_s` of the monotonic clock at most, and say so.

    Args:
        samples: Folder for chunks of requests: what was asked and answered stays, however the load ends.

    Returns:
        The requests, and why no more were asked.
    """
    target = read_target(os.environ)
    client = Client(address=target.address, limit_s=float(spec.settings["requests.limit_s"]), headers=target.headers)
    try:
        settled = await settle(spec, target, client, emitter)
        load = _load_of(spec, terms)
        _allow_connections(load)
        if load.arrivals_ns is None:
            await client.connect(load.in_flight)
        ledger = Ledger(
            count=settled.counted_by, count_tokens=None if settled.tokenizer is None else settled.tokenizer.count
        )
        reserve = Reserve(settled.make, load.in_flight if load.arrivals_ns is None else 0)
        reserve.fill()
        metrics = await server_metrics(client)
        emitter.emit(keys.SERVE, spec.scenario, {**_terms_meta(spec, terms), **settled.meta()})
        emitter.emit(keys.INIT_STOP)
        emitter.flush()
        limit_s = max(end_s - time.monotonic(), 0.0)
        with quiet_heap():
            start_ns = time.monotonic_ns()
            with Journal(Changes(ledger=ledger, start_ns=start_ns).write, samples, emitter, start_ns) as journal:
                driver = Driver(
                    client=client,
                    ledger=ledger,
                    load=load,
                    reserve=reserve,
                    keep_texts=settled.tokenizer is not None,
                    on_answer=lambda answer: _tell(heartbeat, answer),
                    start_ns=start_ns,
                )
                try:
                    stopped_by = await _timed(driver, emitter, heartbeat, journal, limit_s)
                except BaseException:
                    journal.close()
                    _log_served(ledger, ERROR, emitter)
                    raise
        _log_served(ledger, stopped_by, emitter)
        journal.close()
        if metrics is not None:
            _log_metrics(metrics, await server_metrics(client), emitter)
        if stopped_by == MINIMUM and is_probed(spec):
            with phase(emitter, "probe"):
                look_s = min(end_s - time.monotonic(), max(LOOK_S, terms.minimum_s))
                repeats = await look_for_server_cache(settled, spec.seed, look_s)
                emitter.emit(keys.REPEATS, len(repeats.new_ns), repeats.meta())
        return ledger.table(start_ns), stopped_by
    finally:
        client.close()


async def _timed(driver: Driver, emitter: Emitter, heartbeat: Heartbeat, journal: Journal, limit_s: float) -> str:
    """The load itself, between `run_start` and `run_stop`. Returns why no more was asked."""
    heartbeat.answered = 0
    emitter.emit(keys.RUN_START, at_ns=driver.start_ns)
    emitter.emit(keys.PHASE, "serve", at_ns=driver.start_ns)
    try:
        with collector_paused():  # a collection among thousands of open answers would show as latency
            async with asyncio.timeout(limit_s):
                stopped_by = await driver.run()
    except TimeoutError:
        stopped_by = DEADLINE
    journal.hold()
    emitter.emit(keys.RUN_STOP, None, {"status": "aborted" if stopped_by == DEADLINE else "success"})
    return stopped_by


def _tell(heartbeat: Heartbeat, answer: Answer) -> None:
    """A request has ended."""
    heartbeat.progress += 1
    if answer.outcome is outcomes.OK:
        heartbeat.answered = (heartbeat.answered or 0) + 1
    else:
        heartbeat.failed += 1


def _load_of(spec: RunSpec, terms: Terms) -> Load:
    """The scenario's load under its terms."""
    settings = spec.settings
    arrivals = None
    if terms.first_rate_per_s is not None:
        if spec.rate_per_s is None:
            raise OildropError(f"scenario {spec.scenario} needs a rate: --rate QUERIES_A_SECOND")
        minimum_ns = round(terms.minimum_s * 1e9)
        arrivals = tuple(
            schedule_ns(spec.seed, spec.rate_per_s, minimum_ns=minimum_ns, minimum_count=terms.minimum_queries)
        )
    most = int(settings["endpoint.connections"])
    in_flight = 1 if spec.scenario == "single-stream" else int(settings["scenario.concurrency"])
    return Load(
        minimum_s=terms.minimum_s,
        minimum_queries=terms.minimum_queries,
        in_flight=in_flight,
        most_in_flight=most,
        arrivals_ns=arrivals,
        due_at_once=spec.scenario == "offline",
    )


def _allow_connections(load: Load) -> None:
    """Have the system allow a file for each connection. Raises Unsupported where it will not."""
    wanted = SPARE_FILES + (load.in_flight if load.arrivals_ns is None else load.most_in_flight)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise Unsupported(f"{wanted} open files are needed and the system allows {hard}; ask for fewer requests")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _terms_meta(spec: RunSpec, terms: Terms) -> dict[str, Any]:
    concurrency = spec.settings["scenario.concurrency"] if terms.first_rate_per_s is None else None
    return {**terms.model_dump(mode="json"), "rate_per_s": spec.rate_per_s, "concurrency": concurrency}


def _log_served(ledger: Ledger, stopped_by: str, emitter: Emitter) -> None:
    errors = ledger.errors
    meta = {
        "requests": len(ledger.rows),
        "errors": errors.total(),
        "errors_by_outcome": dict(sorted(errors.items())),
        "stopped_by": stopped_by,
        "tokens_counted_by": dict(sorted(ledger.counted_by.items())),
        "tokens_counted_twice": ledger.counted_twice,
        "ended_by_model": ledger.ended_by_model,
    }
    emitter.emit(keys.SERVED, len(ledger.rows), meta)
    emitter.flush()


def _log_metrics(before: dict[str, float], after: dict[str, float] | None, emitter: Emitter) -> None:
    emitter.emit(keys.SERVER_METRICS, "before", before)
    emitter.emit(keys.SERVER_METRICS, "after", after or {})
