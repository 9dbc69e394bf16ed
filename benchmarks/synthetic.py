"""Made-up runs in real bundles, for tests and for timing our own reading: no machine did this.

Every bundle is written by the BundleWriter with a whole log (phases, gates, blocks, evaluations,
telemetry, per-document losses) that the real judge judges as the outcome that was asked for.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from oildrop.results.bundle.samples import write_evaluations
from oildrop.results.bundle.telemetry import TelemetryRow
from oildrop.results.bundle.write import BundleWriter
from oildrop.results.ingest import ingest_runs
from oildrop.results.layout import StoreLayout
from oildrop.results.rows import KeptDigest, PackedRun, RunRow, StoredRow
from oildrop.results.store import writing
from oildrop.results.tables import JudgedRun, write_batch
from oildrop.rules import keys
from oildrop.rules.canonical import json_number
from oildrop.rules.evidence import EvaluationTable
from oildrop.rules.formulas.quality import accuracy, excess_loss
from oildrop.rules.identity import rulebook_seed, set_id, workload_id
from oildrop.rules.loading import load_rulebook
from oildrop.rules.records import Limits, RunSpec
from oildrop.rules.rulebook import Benchmark, Tier, settings_of
from oildrop.rules.system import Cpu, Memory, OperatingSystem, Software, System

BEGIN = datetime(2026, 11, 1, 12, 0, 0, tzinfo=UTC)
SECOND = 10**9
STEP_NS = 40_000_000
METER_PERIOD_S = 0.25

EXAMPLE_SYSTEM = System(
    cpu=Cpu(
        model="Example CPU 4000", vendor="Example", architecture="x86_64", sockets=1, physical_cores=2,
        logical_cores=4, usable_cores=4, max_frequency_hz=4_000_000_000, l3_cache_bytes=2**25, governor=None,
    ),
    memory=Memory(total_bytes=16 * 2**30, swap_bytes=0, limit_bytes=None),
    os=OperatingSystem(name="Example Linux", release="1", kernel="6.1.0", virtualisation="none"),
    accelerators=(),
    power_cap_w=None,
    software=Software(
        oildrop="0.1.0", python="3.11.7", frameworks={"torch": "2.13.0"}, libraries={"numpy": "2.4.6"}, drivers={},
        git_revision=None, image=None,
    ),
    missing={"cpu.governor": "the kernel does not say", "power_cap_w": "no RAPL on this machine"},
)  # fmt: skip

ENDINGS: dict[str, dict[str, Any]] = {
    "oom": {"limit": "memory", "reason": "the worker used more than its limit of 2 GiB"},
    "timeout": {"limit": "heartbeat", "reason": "no heartbeat for 15 s"},
    "crash": {"exit_status": -11, "reason": "the worker was ended by SIGSEGV without a word"},
    "cancelled": {"cancelled_by": "SIGINT", "reason": "stopped by SIGINT"},
    "accuracy_fail": {"reason": "the answers were not good enough"},
}
"""Outcomes that come from outside, in the middle of training, with the evidence of the last word."""


def synthetic_run(
    layout: StoreLayout,
    *,
    benchmark: str = "lm-pretrain",
    seed_index: int = 0,
    outcome: str = "ok",
    rng: random.Random,
    events: int = 300,
    tier: str = "nano",
    system: System = EXAMPLE_SYSTEM,
    run_id: str | None = None,
) -> Path:
    """Write one bundle under `layout.runs` and return its folder.

    Args:
        outcome: What the judge shall find. `lost` and `started` leave the bundle unsealed; `started` is judged so
            only while the caller holds the run's lock, and `invalid` has weights that warm-up did not restore.
        rng: All that is random in it.
        events: Least length of the log, filled up with heartbeats.
        run_id: The run's id; made from time and seed without one.
    """
    return _SyntheticRun(layout, benchmark, tier, seed_index, outcome, rng, system, run_id).write(events)


def synthetic_store(layout: StoreLayout, count: int, rng: random.Random, *, templates: int = 20) -> None:
    """Fill the index of `layout` with `count` rows: copies of `templates` judged runs under ids of their own.

    Only the templates have bundles, so this is for timing what reads the index.
    """
    kinds = ["ok"] * 7 + ["diverged", "crash", "cancelled"]
    names = sorted(name for name, found in load_rulebook().benchmarks.items() if found.kind == "to_target")
    folders = [
        synthetic_run(layout, benchmark=names[i % len(names)], seed_index=i, outcome=kinds[i % len(kinds)], rng=rng)
        for i in range(templates)
    ]
    rows = ingest_runs(layout, folders)
    copies = _copies(rows, count - len(rows))
    while batch := list(islice(copies, 1000)):
        with writing(layout.database) as connection:
            write_batch(connection, batch, "2026-11-22T12:00:00.000000Z")


def _copies(rows: list[RunRow], count: int) -> Iterator[JudgedRun]:
    for number in range(count):
        row = rows[number % len(rows)]
        run_id = f"copy-{number:06d}"
        index = 1000 + number
        seed = rulebook_seed(row.spec.benchmark_sha256, index)
        spec = row.spec.model_copy(update={"run_id": run_id, "seed_index": index, "seed": seed})
        packed = PackedRun(
            spec_json=spec.model_dump_json(by_alias=True),
            system_json=row.system.model_dump_json(by_alias=True) if row.system else None,
            judgement_json=row.judgement.model_copy(update={"run_id": run_id}).model_dump_json(),
            digest_json=row.digest.model_dump_json(),
            sealed=row.sealed,
            bundle_id=row.bundle_id,
            elapsed_s=row.elapsed_s,
        )
        yield JudgedRun(packed, StoredRow(packed, KeptDigest(packed.digest_json)))


class _SyntheticRun:
    """One run in the making: what is written, and the clock at which it happens."""

    def __init__(
        self,
        layout: StoreLayout,
        benchmark: str,
        tier: str,
        seed_index: int,
        outcome: str,
        rng: random.Random,
        system: System,
        run_id: str | None,
    ) -> None:
        rulebook = load_rulebook()
        self.benchmark: Benchmark = rulebook.benchmarks[benchmark]
        self.tier: Tier = self.benchmark.tiers[tier]
        self.settings = settings_of(self.tier)
        self.outcome = outcome
        self.rng = rng
        self.created = BEGIN + timedelta(minutes=seed_index)
        spec = self._spec(tier, seed_index, system, run_id)
        layout.ensure()
        self.path = layout.run_dir(spec.run_id)
        self.writer = BundleWriter.create(self.path, spec, system, rulebook.files_of(self.benchmark))
        self.spec = spec
        self.now_ns = 0
        self.samples = self.steps = self.events = 0
        self.kept: list[EvaluationTable] = []
        self.crossing = self._crossing()
        self.stop_after = rng.randint(3, 6) if outcome not in ("ok", "target_missed", "invalid") else None

    def write(self, events: int) -> Path:
        """Write the whole run, as far as its outcome lets it come."""
        self._say(keys.INIT_START)
        self._say(keys.PHASE, "probe")
        self._say(keys.SUBMISSION_BENCHMARK, self.spec.benchmark)
        self._say(keys.HOST_STATE, "before", {"load_1min": 0.1})
        if self.outcome == "unsupported":
            return self._end({"reason": "torch is not installed; pip install 'oildrop[torch]'"})
        self._set_up()
        self._train()
        self._telemetry()
        while self.events < events - 4:
            self._say(keys.HEARTBEAT, self.steps)
        if self.outcome in ("lost", "started"):
            self.writer.close()
            return self.path
        self._say(keys.MEMORY, self.rng.randrange(4, 6) * 10**8, {"scope": "process"})
        self._say(keys.OVERHEAD, 5e-6, {"supervisor_cpu_s": 0.02})
        self._say(keys.HOST_STATE, "after", {"load_1min": 2.0})
        return self._end(ENDINGS.get(self.outcome, {"reason": None}))

    def _spec(self, tier: str, seed_index: int, system: System, run_id: str | None) -> RunSpec:
        benchmark, rules = self.benchmark, self.tier
        workload = workload_id(benchmark.sha256, tier, "closed", self.settings)
        mark = hashlib.sha256(self.rng.randbytes(8)).hexdigest()[:6]
        return RunSpec(
            run_id=run_id or f"{self.created:%Y%m%dt%H%M%S}-{mark}",
            created_utc=f"{self.created:%Y-%m-%dT%H:%M:%S.%f}Z",
            benchmark=benchmark.name,
            benchmark_sha256=benchmark.sha256,
            tier=tier,
            division="closed",
            backend="torch-cpu",
            kind=rules.kind,
            settings=self.settings,
            seed=rulebook_seed(benchmark.sha256, seed_index),
            seed_index=seed_index,
            limits=Limits(deadline_s=rules.deadline_s, heartbeat_s=rules.heartbeat_s, stall_s=rules.stall_s),
            workload_id=workload,
            system_id=system.system_id(),
            software_id=system.software_id(),
            set_id=set_id("synthetic", "torch-cpu", workload, system.system_id(), system.software_id()),
            session_id=f"{self.created:%Y%m%d}",
            command=("oildrop", "run", benchmark.name, "--tier", tier),
            oildrop_version="0.1.0",
        )

    def _crossing(self) -> float:
        """Samples at which this run meets the target: near the reference's where there is one."""
        reference = load_rulebook().reference_of(self.benchmark.name, self.spec.tier)
        cap = self.tier.cap_samples or 10**4
        usual = sum(reference.samples_to_target) / len(reference.samples_to_target) if reference else 0.4 * cap
        factor = 3.0 * cap / usual if self.outcome == "target_missed" else self.rng.gauss(1.0, 0.01)
        return usual * factor

    def _say(self, key: str, value: Any = None, meta: dict[str, Any] | None = None, *, by: str = "supervisor") -> None:
        self.now_ns += 20_000
        if by != "supervisor":
            meta = {**(meta or {}), "received_ns": self.now_ns + 300_000}
        utc = self.created + timedelta(microseconds=self.now_ns // 1000)
        self.writer.append(
            key=key, value=value, meta=meta, t_ns=self.now_ns, utc=f"{utc:%Y-%m-%dT%H:%M:%S.%f}Z", proc=by
        )
        self.events += 1

    def _worker(self, key: str, value: Any = None, **meta: Any) -> None:
        self._say(key, value, meta, by="worker-0")

    def _pass_time(self, duration_s: float) -> None:
        self.now_ns += int(duration_s * SECOND)

    def _set_up(self) -> None:
        self._say(keys.METER, "process", {"status": "measured", "reason": None, "scope": "process", "method": "procfs"})
        no_power = "the kernel lets only root read RAPL; chmod a+r or run as root"
        self._say(
            keys.METER, "rapl", {"status": "not_measured", "reason": no_power, "scope": "package", "method": None}
        )
        self._say(keys.PROCESS, "worker-0", {"role": "worker", "node": 0, "rank": 0})
        weights = hashlib.sha256(str(self.spec.seed).encode()).hexdigest()
        for phase, duration_s in (("data", 0.4), ("compile", 0.9), ("gates", 0.6), ("init", 0.1), ("warmup", 0.2)):
            self._worker(keys.PHASE, phase)
            self._pass_time(duration_s)
            if phase == "gates":
                gate = {
                    "name": "token_loss",
                    "dtype": "fp32",
                    "value": 2e-7,
                    "limit": 1e-5,
                    "passed": True,
                    "unit": "1",
                }
                self._say(keys.GATE, "token_loss", gate, by="worker-0")
            if phase == "init":
                self._worker(keys.SEED, self.spec.seed, index=self.spec.seed_index)
                self._worker(keys.WEIGHTS_SHA256, weights, when="init")
            if phase == "warmup":
                restored = "0" * 64 if self.outcome == "invalid" else weights
                self._worker(keys.WEIGHTS_SHA256, restored, when="warmup")
        self._worker(keys.GLOBAL_BATCH_SIZE, self._samples_per_step())
        self._worker(keys.TRAIN_SAMPLES, self.tier.cap_samples)
        self._worker(keys.INIT_STOP)

    def _train(self) -> None:
        """Blocks and evaluations until the target, the cap, or what the outcome has in store."""
        self._worker(keys.RUN_START)
        self.run_start_ns = self.now_ns
        per_step, blocks = self._samples_per_step(), 0
        cap = self.tier.cap_samples or (self.tier.steps or 0) * per_step
        while True:
            blocks += 1
            cut = self.stop_after is not None and blocks >= self.stop_after
            self._block(per_step, cap, diverges=cut and self.outcome == "diverged")
            if cut and self.outcome != "diverged":
                return
            met = not cut and self._evaluate()
            if cut or met or self.samples + per_step > cap:
                status = "success" if met or self.tier.target is None else "aborted"
                self._worker(keys.RUN_STOP, None, status=status, samples=self.samples)
                break
        self._worker(keys.PHASE, "teardown")
        if self.kept:
            write_evaluations(self.path / "samples" / "0000.arrow", self.kept[-2:])
            self._worker(keys.CHUNK, "0000.arrow", **self.writer.add_chunk("samples/0000.arrow"))

    def _block(self, per_step: int, cap: int, *, diverges: bool) -> None:
        steps, after = 0, self.samples
        while not steps or not (self.tier.schedule.evaluates_after(after) or after + per_step > cap):
            steps, after = steps + 1, after + per_step
        self._worker(keys.PHASE, "train")
        self._worker(keys.BLOCK_START, None, samples=self.samples)
        self._pass_time(steps * STEP_NS / SECOND * self.rng.uniform(0.99, 1.03))
        loss = math.nan if diverges else 1.5 + self._curve(after)
        counts = {"steps": steps, "samples": steps * per_step, "tokens": steps * per_step * self._tokens_per_sample()}
        self._worker(keys.BLOCK_STOP, None, **counts, loss=json_number(loss))
        self.samples, self.steps = after, self.steps + steps
        digest = hashlib.sha256(f"{self.spec.seed}/{self.steps}".encode()).hexdigest()
        self._worker(keys.BATCH_SHA256, digest, batches=self.steps)
        if self.steps == steps:
            self._worker(keys.FIRST_LOSS_FP32, json_number(loss))

    def _evaluate(self) -> bool:
        """One evaluation; whether it met the target."""
        table = self._documents(self._curve(self.samples) * self.rng.uniform(0.998, 1.002))
        self.kept.append(table)
        self._worker(keys.PHASE, "eval")
        self._worker(keys.EVAL_START, None, samples=self.samples)
        self._pass_time(self.rng.uniform(0.04, 0.05))
        self._worker(keys.EVAL_STOP, None, samples=self.samples)
        quality = excess_loss(table.loss_nats, table.source_nats, table.token_count)
        right = accuracy(table.correct_count, table.token_count)
        counts = {"samples": self.samples, "documents": len(table.loss_nats)}
        self._worker(keys.EVAL_ACCURACY, quality, accuracy=right, **counts)
        return self.tier.target is not None and quality <= self.tier.target

    def _curve(self, samples: int) -> float:
        target = self.tier.target or 0.5
        return min(4.0, target * (self.crossing / max(samples, 1)) ** 0.7)

    def _documents(self, quality: float) -> EvaluationTable:
        count = int(self.settings.get("evaluation.documents", 360))
        tokens = self._tokens_per_sample()
        sources = [tokens * self.rng.uniform(1.2, 1.7) if tokens > 1 else 0.0 for _ in range(count)]
        return EvaluationTable(
            samples=self.samples,
            loss_nats=tuple(source + tokens * quality * self.rng.uniform(0.95, 1.05) for source in sources),
            source_nats=tuple(sources),
            token_count=(tokens,) * count,
            correct_count=tuple(round(tokens * math.exp(-quality)) for _ in range(count)),
        )

    def _telemetry(self) -> None:
        """Readings over the whole run so far, a batch a second."""
        begin_ns, resident = 2 * SECOND, self.rng.uniform(3e8, 4e8)
        for second in range(max(1, (self.now_ns - begin_ns) // SECOND)):
            rows: list[TelemetryRow] = []
            for part in range(int(1 / METER_PERIOD_S)):
                t_s = second + part * METER_PERIOD_S
                t_ns = begin_ns + int(t_s * SECOND)
                readings = {"cpu_s": 1.9 * t_s, "rss_bytes": resident + 1e6 * self.rng.random()}
                rows += [TelemetryRow(t_ns, "process", what, "worker", "process", v) for what, v in readings.items()]
                host = {"busy_s": 2.0 * t_s, "steal_s": 0.0}
                rows += [TelemetryRow(t_ns, "host", what, "cpu", "node", v) for what, v in host.items()]
            self.writer.append_telemetry(rows)

    def _end(self, evidence: dict[str, Any]) -> Path:
        claim = "ok" if self.outcome == "invalid" else self.outcome
        self._say(keys.OUTCOME, claim, evidence)
        (self.path / "output.log").write_text("what the worker printed\n")
        self.writer.seal()
        return self.path

    def _samples_per_step(self) -> int:
        return int(self.settings.get("data.documents_per_batch") or self.settings["data.images_per_batch"])

    def _tokens_per_sample(self) -> int:
        return int(self.settings.get("data.document_tokens", 1))
