"""One run of a served model in a worker: every phase, with the load generator in the middle."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from oildrop.harness.bandwidth import bandwidth_meta
from oildrop.harness.devices.opening import runtime_of
from oildrop.harness.load.generate import generate
from oildrop.harness.load.heap import quiet_heap
from oildrop.harness.load.increments import Increments, table_of
from oildrop.harness.load.journal import Journal
from oildrop.harness.load.ledger import Ledger
from oildrop.harness.load.plan import LoadPlan, load_plan
from oildrop.harness.load.stops import ERROR, MINIMUM
from oildrop.harness.messages import Emitter, Heartbeat
from oildrop.harness.orders import Orders
from oildrop.harness.phases import End, benchmark_of, log_memory, meet_beside, open_for, pass_gates, phase
from oildrop.harness.prefill import prefill_beside, read_through, transfers_of
from oildrop.harness.repeats import is_probed, look_for_cache
from oildrop.harness.served_end import answers_of, end_of
from oildrop.results.bundle.request_arrays import load_arrow, write_request_arrays
from oildrop.results.bundle.requests import write_answers
from oildrop.rules import keys
from oildrop.rules.errors import UsageError
from oildrop.rules.evidence import AnswerTable, RequestTable
from oildrop.rules.records import RunSpec
from oildrop.rules.rulebook import Benchmark, gate_settings
from oildrop.rules.rulebook_parts import Terms
from oildrop.rules.served import OK
from oildrop.workloads.cores import physical_cores
from oildrop.workloads.kept_weights import DamagedCheckpoint
from oildrop.workloads.protocols import Device
from oildrop.workloads.registry import make_serve_task
from oildrop.workloads.served_protocols import (
    Drafting,
    Drafts,
    EngineTime,
    PrefixCaching,
    PromptTokens,
    ServeTask,
    Timed,
)
from oildrop.workloads.weights_hash import weights_sha256

LOAD_SHARE = 0.8
"""Of the time until the deadline that is left at run_start; the rest is for assessing and keeping the answers."""


def run_serving(spec: RunSpec, orders: Orders, emitter: Emitter, heartbeat: Heartbeat) -> End:
    """All phases of one served run, up to the last chunks of its requests and answers."""
    began_s = time.monotonic()
    benchmark = benchmark_of(spec, emitter)
    settings = {**spec.settings, **gate_settings(benchmark.gates, benchmark.tiers[spec.tier])}
    link = prefill_beside(settings, spec.backend, emitter)
    device = open_for(spec, orders, emitter)
    terms = terms_of(benchmark, spec)
    task = make_serve_task(benchmark.task, settings, device)
    read_through(task, link)
    _prove_and_start(task, spec, device, emitter)
    meet_beside(spec, orders, emitter)
    deadline_s = (spec.limits.deadline_s - (time.monotonic() - began_s)) * LOAD_SHARE
    plan = plan_of(spec, terms, task, deadline_s)
    emitter.emit(keys.SERVE, plan.scenario, _terms_meta(spec, terms, plan, task))
    emitter.emit(keys.INIT_STOP)
    emitter.flush()
    samples = orders.run_dir / "samples"
    requests, stopped_by, journal = _serve(task, plan, samples, emitter, heartbeat)
    with phase(emitter, "eval"):
        journal.close()
        answers = answers_of(task.assess(_answers_in_full(requests)))
        _keep_answers(answers, samples / f"{journal.chunks:04d}.arrow", emitter)
        heartbeat.progress += 1
    if stopped_by == MINIMUM and is_probed(spec):
        with phase(emitter, "probe"):
            left_s = spec.limits.deadline_s - (time.monotonic() - began_s)
            repeats = look_for_cache(task, len(requests.index), spec.seed, left_s / 2)
            emitter.emit(keys.REPEATS, len(repeats.new_ns), repeats.meta())
    with phase(emitter, "teardown"):
        log_memory(device, spec, emitter)
    return end_of(spec, requests, answers, stopped_by)


def terms_of(benchmark: Benchmark, spec: RunSpec) -> Terms:
    """The terms of the run's scenario at its tier. Raises UsageError where the tier has no such scenario."""
    scenarios = benchmark.tiers[spec.tier].scenarios
    if spec.scenario not in scenarios:
        known = ", ".join(sorted(scenarios)) or "none"
        raise UsageError(f"{spec.benchmark} has no scenario {spec.scenario} at tier {spec.tier}; it has {known}")
    return scenarios[spec.scenario]


def plan_of(spec: RunSpec, terms: Terms, task: ServeTask, deadline_s: float) -> LoadPlan:
    """What the run's generator is to issue, `deadline_s` being left to it."""
    return load_plan(
        str(spec.scenario),
        terms,
        seed=spec.seed,
        rate_per_s=spec.rate_per_s,
        concurrency=int(spec.settings.get("scenario.concurrency", 1)),
        deadline_s=deadline_s,
        output_tokens=lambda index: task.size(index).output_tokens,
    )


def _prove_and_start(task: ServeTask, spec: RunSpec, device: Device, emitter: Emitter) -> None:
    """What comes before the clock: data, graphs, gates, weights, warm-up."""
    with phase(emitter, "data"):
        task.load_data()
    with phase(emitter, "compile"):
        task.build()
        device.synchronize()
    emitter.emit(keys.RUNTIME, device.backend, runtime_of(device))
    with phase(emitter, "gates"):
        pass_gates(task.run_gates(), emitter)
    with phase(emitter, "init"):
        try:
            task.initialise(spec.seed)
        except DamagedCheckpoint as error:
            emitter.emit(keys.WEIGHTS_SHA256, None, {"when": "init", "reason": str(error)})
            raise
        emitter.emit(keys.WEIGHTS_SHA256, weights_sha256(task.weights()), {"when": "init"})
        emitter.emit(keys.SEED, spec.seed, {"index": spec.seed_index})
    with phase(emitter, "warmup"):
        task.warm_up()
        device.synchronize()


def _terms_meta(spec: RunSpec, terms: Terms, plan: LoadPlan, task: ServeTask) -> dict[str, Any]:
    """What the judge is to know of the generator's terms, and of the bytes that a decode step reads."""
    (weight_bytes, of_one), (_, of_two) = task.bytes_per_step(1), task.bytes_per_step(2)
    threads = int(spec.settings.get("execution.threads", 0)) or physical_cores()
    return {
        **terms.model_dump(mode="json", exclude={"first_rate_per_s"}),
        "rate_per_s": spec.rate_per_s,
        "concurrency": plan.streams if plan.scenario == "concurrency" else None,
        "backlog_limit": plan.backlog_limit,
        "weight_bytes": weight_bytes,
        "cache_bytes_per_token": of_two - of_one,
        **bandwidth_meta(spec.backend, weight_bytes, threads),
    }


def _serve(
    task: ServeTask, plan: LoadPlan, samples: Path, emitter: Emitter, heartbeat: Heartbeat
) -> tuple[RequestTable, str, Journal]:
    """The part that is timed; what was issued and answered is kept meanwhile, and when it fails.

    Returns:
        All requests, why no more were issued, and the journal of which the last chunk is not yet closed.
    """
    load_arrow()
    ledger = Ledger(plan.samples_per_query)
    changes = Increments(ledger, task.size)
    with quiet_heap():
        before, earlier, known = transfers_of(task), engine_time_of(task), prompt_tokens_of(task)
        proposed = drafts_of(task)
        start_ns = time.monotonic_ns()
        emitter.emit(keys.RUN_START, at_ns=start_ns)
        emitter.emit(keys.PHASE, "serve", at_ns=start_ns)
        with Journal(lambda path: _write_changes(changes, path), samples, emitter, start_ns) as journal:
            try:
                stopped_by = generate(task, plan, ledger, heartbeat, start_ns)
            except BaseException:
                journal.close()
                emitter.emit(keys.SERVED, ledger.queries, _served_meta(ledger, table_of(ledger, task.size), ERROR))
                raise
            journal.hold()
            stop_ns = time.monotonic_ns()
    requests = table_of(ledger, task.size)
    status = "success" if stopped_by == MINIMUM else "aborted"
    emitter.emit(keys.RUN_STOP, None, {"status": status}, at_ns=stop_ns)
    sent, spent, read = transfers_of(task).since(before), engine_time_of(task), prompt_tokens_of(task)
    meta = _served_meta(ledger, requests, stopped_by) | {f"transfer_{name}": n for name, n in asdict(sent).items()}
    if spent is not None and earlier is not None:
        meta |= {f"engine_{name}": total for name, total in asdict(spent.since(earlier)).items()}
    if read is not None and known is not None:
        meta |= {f"prompt_tokens_{name}": total for name, total in asdict(read.since(known)).items()}
    drafted = drafts_of(task)
    if drafted is not None and proposed is not None:
        meta |= {f"draft_{name}": total for name, total in asdict(drafted.since(proposed)).items()}
    emitter.emit(keys.SERVED, ledger.queries, meta, at_ns=stop_ns)
    return requests, stopped_by, journal


def _write_changes(changes: Increments, path: Path) -> bool:
    found = changes.take()
    if found is not None:
        write_request_arrays(path, found)
    return found is not None


def prompt_tokens_of(task: ServeTask) -> PromptTokens | None:
    """What `task` has been asked and has found in its prefix cache so far; None of one without."""
    return task.prompt_tokens() if isinstance(task, PrefixCaching) else None


def drafts_of(task: ServeTask) -> Drafts | None:
    """What a draft has proposed to `task`'s model so far; None where none is declared."""
    return task.drafts() if isinstance(task, Drafting) else None


def engine_time_of(task: ServeTask) -> EngineTime | None:
    """What `task`'s engine has done with its time so far; None of one that answers in one pass."""
    return task.engine_time() if isinstance(task, Timed) else None


def _served_meta(ledger: Ledger, requests: RequestTable, stopped_by: str) -> dict[str, Any]:
    errors = len(requests.outcome) - requests.outcome.count(OK)
    return {"requests": ledger.issued, "errors": errors, "steps": ledger.steps, "stopped_by": stopped_by}


def _answers_in_full(requests: RequestTable) -> dict[int, tuple[int, ...]]:
    rows = zip(requests.index, requests.outcome, requests.tokens, strict=True)
    return {index: tokens for index, outcome, tokens in rows if outcome == OK}


def _keep_answers(answers: AnswerTable, path: Path, emitter: Emitter) -> None:
    """Close their chunk; the supervisor hashes and logs it."""
    write_answers(path, answers)
    emitter.emit(keys.CHUNK, path.name)
