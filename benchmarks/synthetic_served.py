"""Made-up served runs in real bundles, for tests: no machine did this.

The requests of a run are answered at a steady pace; which of them fail, and how slow the answers are, is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from oildrop.results.bundle.requests import write_answers, write_requests
from oildrop.results.bundle.write import BundleWriter
from oildrop.results.layout import StoreLayout
from oildrop.rules import keys
from oildrop.rules.evidence import AnswerTable, RequestTable
from oildrop.rules.formulas.arrivals import arrivals_ns
from oildrop.rules.formulas.assessed import picked
from oildrop.rules.identity import rulebook_seed, set_id, workload_id
from oildrop.rules.loading import load_rulebook
from oildrop.rules.records import Kind, Limits, RunSpec
from oildrop.rules.rulebook import settings_of
from oildrop.rules.rulebook_parts import Terms
from oildrop.rules.system import System

BEGIN = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)
SECOND = 10**9
MS = 10**6
SET_UP_S = 2.0
PROMPT, ANSWER = 16, 9


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How the made-up system answers: the first token after `ttft_ms`, the others each `tpot_ms` later."""

    ttft_ms: float = 20.0
    tpot_ms: float = 2.0


def synthetic_served_run(
    layout: StoreLayout,
    *,
    system: System,
    benchmark: str = "lm-generate",
    tier: str = "nano",
    scenario: str = "single-stream",
    rate_per_s: float | None = None,
    kind: Kind = "serve",
    seed_index: int = 0,
    pace: Pace = Pace(),
    failures: dict[int, str] | None = None,
    settings: dict[str, Any] | None = None,
    parent_run_id: str | None = None,
) -> Path:
    """Write one sealed bundle under `layout.runs` and return its folder.

    Args:
        failures: Outcome of the requests that are not answered, by their number.
        settings: Changed settings; any of them makes the division open.
    """
    rulebook = load_rulebook()
    found = rulebook.benchmarks[benchmark]
    rules = found.tiers[tier]
    changed = {"scenario.name": scenario, **(settings or {})}
    resolved = {**settings_of(rules), **changed}
    division = "closed" if set(changed) <= set(found.closed_free) else "open"
    workload = workload_id(found.sha256, tier, division, resolved)
    created = BEGIN + timedelta(minutes=seed_index)
    spec = RunSpec(
        run_id=f"{created:%Y%m%dt%H%M%S}-{scenario}-{kind}-{seed_index}"[:40],
        created_utc=f"{created:%Y-%m-%dT%H:%M:%S.%f}Z",
        benchmark=benchmark,
        benchmark_sha256=found.sha256,
        tier=tier,
        division=division,
        backend="torch-cpu",
        kind=kind,
        settings=resolved,
        seed=rulebook_seed(found.sha256, seed_index),
        seed_index=seed_index,
        limits=Limits(deadline_s=rules.deadline_s, heartbeat_s=rules.heartbeat_s, stall_s=rules.stall_s),
        workload_id=workload,
        system_id=system.system_id(),
        software_id=system.software_id(),
        set_id=set_id("synthetic", "torch-cpu", workload, system.system_id(), system.software_id()),
        session_id=f"{created:%Y%m%d}",
        parent_run_id=parent_run_id,
        command=("oildrop", "run", benchmark, "--tier", tier, "--scenario", scenario),
        rate_per_s=rate_per_s,
        oildrop_version="0.1.0",
    )
    layout.ensure()
    path = layout.run_dir(spec.run_id)
    writer = BundleWriter.create(path, spec, system, rulebook.files_of(found))
    requests = _requests(spec, rules.scenarios[scenario], pace, failures or {})
    weights = rules.checkpoint.weights_sha256 if rules.checkpoint is not None else "a" * 64
    _Log(writer, created).write(spec, requests, _answers(spec, requests), weights)
    (path / "output.log").write_text("made up\n")
    writer.seal()
    return path


def _requests(spec: RunSpec, terms: Terms, pace: Pace, failures: dict[int, str]) -> RequestTable:
    """As many requests as the terms ask for in time and number."""
    tpot_ns = round(pace.tpot_ms * MS)
    ttft_ns = round(pace.ttft_ms * MS)
    span_ns = ttft_ns + (ANSWER - 1) * tpot_ns
    per_s = spec.rate_per_s or SECOND / span_ns
    queries = max(terms.minimum_queries, round(terms.minimum_s * per_s * 1.2)) + 1
    count = queries * terms.samples_per_query
    arrivals = arrivals_ns(spec.seed, spec.rate_per_s, queries) if spec.rate_per_s else None
    due = [arrivals[k // terms.samples_per_query] if arrivals else k // terms.samples_per_query * span_ns
           for k in range(count)]  # fmt: skip
    ok = [k not in failures for k in range(count)]
    return RequestTable(
        index=tuple(range(count)),
        query=tuple(k // terms.samples_per_query for k in range(count)),
        scheduled_ns=tuple(due),
        issued_ns=tuple(at + MS // 20 for at in due),
        first_ns=tuple(at + ttft_ns if fine else None for at, fine in zip(due, ok, strict=True)),
        last_ns=tuple(at + span_ns if fine else None for at, fine in zip(due, ok, strict=True)),
        input_tokens=(PROMPT,) * count,
        output_tokens=tuple(ANSWER if fine else 0 for fine in ok),
        expected_tokens=(ANSWER,) * count,
        outcome=tuple(failures.get(k, "ok") for k in range(count)),
        gaps_ns=tuple((tpot_ns,) * (ANSWER - 1) if fine else () for fine in ok),
        tokens=tuple(tuple(range(ANSWER)) if fine else () for fine in ok),
    )


def _answers(spec: RunSpec, requests: RequestTable) -> AnswerTable:
    """The answers that the seed picks, 0.1 nats a token over the source, all as the reference's."""
    share, least, most = (int(spec.settings.get(f"assess.{key}", 0)) for key in ("share", "least", "most"))
    answered = [k for k, outcome in zip(requests.index, requests.outcome, strict=True) if outcome == "ok"]
    index = picked(spec.seed, answered, share=share, least=least, most=most) if share else []
    count = len(index)
    return AnswerTable(
        index=tuple(index),
        loss_nats=(1.6 * PROMPT,) * count,
        source_nats=(1.5 * PROMPT,) * count,
        token_count=(PROMPT,) * count,
        agreed_count=(ANSWER,) * count,
        compared_count=(ANSWER,) * count,
    )


class _Log:
    """The events of one run, in order, and the clock that stamps them."""

    def __init__(self, writer: BundleWriter, created: datetime) -> None:
        self.writer, self.created, self.now_ns = writer, created, 0

    def say(self, event: str, given: Any = None, /, *, proc: str = "worker-0", **meta: Any) -> None:
        self.now_ns += 20_000
        if proc != "supervisor":
            meta["received_ns"] = self.now_ns + 300_000
        utc = self.created + timedelta(microseconds=self.now_ns // 1000)
        self.writer.append(
            key=event, value=given, meta=meta, t_ns=self.now_ns, utc=f"{utc:%Y-%m-%dT%H:%M:%S.%f}Z", proc=proc
        )

    def write(self, spec: RunSpec, requests: RequestTable, answers: AnswerTable, weights: str) -> None:
        self.say(keys.INIT_START, proc="supervisor")
        for phase in ("probe", "data", "compile", "gates", "init", "warmup"):
            self.say(keys.PHASE, phase)
            self.now_ns += round(SET_UP_S * SECOND / 6)
            if phase == "gates":
                gate = {"dtype": "fp32", "value": 2e-7, "limit": 1e-5, "passed": True, "unit": "1"}
                self.say(keys.GATE, "loss_prefill", name="loss_prefill", **gate)
        self.say(keys.WEIGHTS_SHA256, weights, when="init")
        self.say(keys.SEED, spec.seed, index=spec.seed_index)
        self.say(keys.SERVE, spec.scenario, weight_bytes=3_500_000, cache_bytes_per_token=4096,
                 read_bandwidth_bytes_per_s=2e10, last_level_cache_bytes=2**25)  # fmt: skip
        self.say(keys.INIT_STOP)
        self.say(keys.RUN_START)
        self.say(keys.PHASE, "serve")
        self.now_ns += max((at for at in requests.last_ns if at is not None), default=0) + MS
        self.say(keys.RUN_STOP, status="success")
        failed = sum(outcome != "ok" for outcome in requests.outcome)
        self.say(
            keys.SERVED, len(set(requests.query)), requests=len(requests.index), errors=failed, stopped_by="minimum"
        )
        self.say(keys.PHASE, "eval")
        self._chunks(requests, answers)
        self.say(keys.PHASE, "probe")
        self.say(keys.REPEATS, 24, new_ns=[20 * MS] * 24, repeated_ns=[20 * MS] * 24)
        self.say(keys.PHASE, "teardown")
        self.say(keys.MEMORY, 4 * 10**8, scope="process")
        self.say(keys.OVERHEAD, 1e-6, proc="supervisor", supervisor_cpu_s=0.02)
        self.say(keys.OUTCOME, "ok", proc="supervisor", reason=None, limit=None, exit_status=0)

    def _chunks(self, requests: RequestTable, answers: AnswerTable) -> None:
        for number, write in enumerate((write_requests, write_answers)):
            name = f"samples/{number:04d}.arrow"
            write(self.writer.path / name, (requests, answers)[number])  # type: ignore[arg-type]
            self.say(keys.CHUNK, None, proc="supervisor", **self.writer.add_chunk(name))
