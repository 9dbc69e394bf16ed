"""A clean run of a small benchmark made by hand, which each test breaks in one place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import resources
from typing import Any

import pytest

from oildrop.rules import keys
from oildrop.rules.events import Event
from oildrop.rules.evidence import AnswerTable, EvaluationTable, Evidence, RequestTable, Series
from oildrop.rules.formulas.arrivals import arrivals_ns
from oildrop.rules.formulas.assessed import picked
from oildrop.rules.identity import rulebook_seed, workload_id
from oildrop.rules.loading import parse_rulebook
from oildrop.rules.records import Kind, Limits, RunSpec, Scalar
from oildrop.rules.rulebook import Benchmark, Rulebook, settings_of
from oildrop.rules.system import Cpu, Memory, OperatingSystem, Software, System

BENCHMARK = b"""
schema = "oildrop.benchmark/1"
name = "toy"
title = "Toy"
summary = "A toy."
task = "toy"
kind = "to_target"
files = []
[quality]
metric = "excess_loss"
unit = "nats/token"
better = "lower"
[settings.model]
width = 8
[settings.optimizer]
name = "adamw"
learning_rate = 0.1
[settings.execution]
dtype = "fp32"
[settings.data]
documents_per_batch = 5
[closed]
free = ["execution.dtype"]
[allowed]
"model.width" = {min = 1, max = 64}
"execution.dtype" = ["fp32", "bf16"]
"data.documents_per_batch" = [1, 2, 5, 10]
[flops]
formula = "decoder_train/1"
[gates]
seed = 1
documents = 2
steps = 2
weights_std = 0.06
[gates.limits.fp32]
loss_train = 1e-5
[tiers.nano]
minimum_runs = 5
target = 0.5
cap_samples = 80
reference_time_s = 4.0
deadline_s = 60.0
heartbeat_s = 5.0
stall_s = 10.0
init_limit_s = 30.0
[tiers.nano.schedule]
first = 20
every = 10
[tiers.smoke]
minimum_runs = 1
steps = 4
deadline_s = 60.0
heartbeat_s = 5.0
stall_s = 10.0
init_limit_s = 30.0
[tiers.smoke.schedule]
first = 0
every = 20
[[sources]]
what = "all"
source = "made up for tests"
date = "2026-11-22"
"""


def reference_point(batch: int, samples: Sequence[float]) -> str:
    """A point of the toy's reference file; run k has seed k."""
    runs = "".join(
        f'  {{seed_index = {k}, seed = {k}, framework = "torch 2", backend = "torch-cpu", dtype = "fp32", '
        f"samples_to_target = {value}}},\n"
        for k, value in enumerate(samples)
    )
    return f"""
[[points]]
tier = "nano"
batch = {batch}
measured = "2026-11-22"
oildrop_version = "0"
git_revision = "abc"
system = "made up for tests"
how = "made up for tests"
runs = [
{runs}]
"""


REFERENCE = "".join(
    ['schema = "oildrop.reference/2"\nbenchmark = "toy"\n',
     reference_point(5, (33.0, 35.0, 37.0, 35.0) * 5), reference_point(10, (36.0, 38.5, 41.0, 38.5) * 5)]
).encode()  # fmt: skip

SECOND = 1_000_000_000


@pytest.fixture(scope="session")
def toy_rulebook() -> Rulebook:
    """The shipped rules and tables with one toy benchmark."""
    folder = resources.files("oildrop.rules.v1")
    shared = {
        name: folder.joinpath(name).read_bytes()
        for name in ("rules.toml", "divisions.toml", "devices.toml", "scenarios.toml")
    }
    return parse_rulebook(
        {**shared, "toy.toml": BENCHMARK, "toy-serve.toml": SERVED_BENCHMARK, "reference/toy.toml": REFERENCE}
    )


def toy_system() -> System:
    return System(
        cpu=Cpu(
            model="Toy 1", vendor="Toy", architecture="x86_64", sockets=1, physical_cores=2, logical_cores=2,
            usable_cores=2, max_frequency_hz=None, l3_cache_bytes=None, governor=None,
        ),
        memory=Memory(total_bytes=2**33, swap_bytes=0, limit_bytes=None),
        os=OperatingSystem(name="Linux", release="1", kernel="1", virtualisation="none"),
        accelerators=(),
        power_cap_w=None,
        software=Software(
            oildrop="0", python="3", frameworks={"torch": "2"}, libraries={}, drivers={}, git_revision=None, image=None
        ),
    )  # fmt: skip


def toy_spec(
    benchmark: Benchmark, system: System, settings: dict[str, Scalar], *, kind: Kind, rate_per_s: float | None = None
) -> RunSpec:
    """Seed 0 of tier nano in division closed."""
    return RunSpec(
        run_id="20261122-000000-000000-aaaaaa",
        created_utc="2026-11-22T00:00:00.000Z",
        benchmark=benchmark.name,
        benchmark_sha256=benchmark.sha256,
        tier="nano",
        division="closed",
        backend="torch-cpu",
        kind=kind,
        settings=settings,
        seed=rulebook_seed(benchmark.sha256, 0),
        seed_index=0,
        limits=Limits(deadline_s=60, heartbeat_s=5, stall_s=10),
        workload_id=workload_id(benchmark.sha256, "nano", "closed", settings),
        system_id=system.system_id(),
        software_id=system.software_id(),
        set_id="s",
        session_id="s",
        rate_per_s=rate_per_s,
        oildrop_version="0",
    )


class ToyRun:
    """The events of a run that meets target 0.5 between the evaluations after 30 and 40 samples.

    Ten samples a second in steps of 5; evaluations take 0.1 s; quality falls 0.8, 0.6, 0.4 at 20, 30, 40 samples.
    """

    QUALITIES = {20: 0.8, 30: 0.6, 40: 0.4}

    def __init__(self, rulebook: Rulebook) -> None:
        benchmark = rulebook.benchmarks["toy"]
        tier = benchmark.tiers["nano"]
        settings = settings_of(tier)
        system = toy_system()
        self.system: System | None = system
        self.rulebook = rulebook
        self.spec = toy_spec(benchmark, system, settings, kind="to_target")
        self.rows: list[dict[str, Any]] = []
        self.sealed = True
        self.alive = False
        self.problems: tuple[Any, ...] = ()
        self.series: tuple[Series, ...] = ()
        self.evaluations = {samples: self.table(samples, quality) for samples, quality in self.QUALITIES.items()}
        self._write()

    @staticmethod
    def table(samples: int, quality: float) -> EvaluationTable:
        """Two documents of ten tokens whose excess loss is `quality`; the source has one nat a token."""
        return EvaluationTable(
            samples=samples,
            loss_nats=(10 * (1 + quality), 10 * (1 + quality)),
            source_nats=(10.0, 10.0),
            token_count=(10, 10),
            correct_count=(5, 6),
        )

    def add(self, event: str, t_s: float, given: Any = None, /, *, proc: str = "worker-0", **meta: Any) -> None:
        """One event at `t_s` seconds; a worker's is received 1 ms later."""
        t_ns = round(t_s * SECOND)
        if proc.startswith("worker"):
            meta.setdefault("received_ns", t_ns + 1_000_000)
        self.rows.append({"key": event, "t_ns": t_ns, "value": given, "proc": proc, "meta": meta})

    def find(self, key: str, nth: int = 0) -> dict[str, Any]:
        """The nth event of `key`, to be changed in place."""
        return [row for row in self.rows if row["key"] == key][nth]

    def drop(self, key: str) -> None:
        """Leave out all events of `key`."""
        self.rows = [row for row in self.rows if row["key"] != key]

    def _write(self) -> None:
        self.add(keys.INIT_START, 0.0, proc="supervisor")
        self.add(keys.HOST_STATE, 0.0, "before", proc="supervisor", load_1m=0.1, throttle_count=3)
        self.add(keys.PHASE, 0.5, "compile")
        self.add(keys.PHASE, 0.7, "gates")
        gate = {"name": "loss", "dtype": "fp32", "value": 1e-7, "limit": 1e-5, "passed": True, "unit": "1"}
        self.add(keys.GATE, 0.8, "loss", **gate)
        self.add(keys.SEED, 0.9, self.spec.seed)
        self.add(keys.WEIGHTS_SHA256, 0.9, "a" * 64, when="init")
        self.add(keys.WEIGHTS_SHA256, 0.95, "a" * 64, when="warmup")
        self.add(keys.RUN_START, 1.0)
        t_s, before = 1.0, 0
        for samples, quality in self.QUALITIES.items():
            count = samples - before
            self.add(keys.PHASE, t_s, "train")
            self.add(keys.BLOCK_START, t_s, samples=before)
            t_s += count / 10
            self.add(keys.BLOCK_STOP, t_s, steps=count // 5, samples=count, tokens=count * 10, loss=1.5)
            self.add(keys.BATCH_SHA256, t_s, "b" * 64, batches=samples // 5)
            self.add(keys.PHASE, t_s, "eval")
            self.add(keys.EVAL_START, t_s, samples=samples)
            t_s += 0.1
            self.add(keys.EVAL_STOP, t_s, samples=samples)
            self.add(keys.EVAL_ACCURACY, t_s, quality, samples=samples, accuracy=0.55)
            before = samples
        self.add(keys.RUN_STOP, t_s, status="success", samples=before)
        self.add(keys.PHASE, t_s, "teardown")
        self.add(keys.MEMORY, t_s, 12345, scope="process")
        self.add(keys.OVERHEAD, t_s + 0.2, 1e-6, proc="supervisor", supervisor_cpu_s=0.043)
        self.add(keys.HOST_STATE, t_s + 0.2, "after", proc="supervisor", throttle_count=3)
        self.add(keys.OUTCOME, t_s + 0.3, "ok", proc="supervisor", exit_status=0, limit=None, cancelled_by=None)

    def evidence(self) -> Evidence:
        """What the judge sees."""
        events = tuple(Event(seq=seq, utc="2026-11-22T00:00:00.000000Z", **row) for seq, row in enumerate(self.rows))
        return Evidence(
            spec=self.spec,
            system=self.system,
            events=events,
            evaluations=tuple(self.evaluations.values()),
            series=self.series,
            problems=self.problems,
            sealed=self.sealed,
            supervisor_alive=self.alive,
        )


@pytest.fixture
def make_run(toy_rulebook: Rulebook) -> Callable[[], ToyRun]:
    """Makes a fresh clean run."""
    return lambda: ToyRun(toy_rulebook)


@pytest.fixture
def toy_run(make_run: Callable[[], ToyRun]) -> ToyRun:
    """One clean run."""
    return make_run()


SERVED_BENCHMARK = b"""
schema = "oildrop.benchmark/1"
name = "toy-serve"
title = "Toy, served"
summary = "A toy."
task = "toy_serve"
kind = "serve"
files = []
[quality]
metric = "excess_loss"
unit = "nats/token"
better = "lower"
least_agreement = {fp32 = 0.9}
[settings.model]
layers = 2
width = 8
heads = 2
key_value_heads = 1
hidden = 16
[settings.data]
words = 3
names = 2
brackets = 1
document_tokens = 64
[settings.weights]
source = "checkpoint"
[settings.requests]
prompts = "unique"
[settings.assess]
share = 25
least = 4
most = 8
[settings.scenario]
name = "single-stream"
[settings.execution]
dtype = "fp32"
weights = "as-trained"
devices = 1
[closed]
free = ["scenario.name", "execution.dtype"]
[allowed]
"scenario.name" = ["single-stream", "multi-stream", "server", "interactive", "offline"]
[flops]
formula = "decoder_serve/1"
[gates]
seed = 1
documents = 2
steps = 2
weights_std = 0.06
[gates.limits.fp32]
loss_prefill = 1e-5
[tiers.nano]
minimum_runs = 1
target = 0.5
deadline_s = 60.0
heartbeat_s = 5.0
stall_s = 10.0
init_limit_s = 30.0
[tiers.nano.checkpoint]
name = "toy"
weights_sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
run_id = "20261122-000000-000000-bbbbbb"
[tiers.nano.scenarios.single-stream]
minimum_s = 1.0
minimum_queries = 64
percentile = 0.9
[tiers.nano.scenarios.multi-stream]
minimum_s = 1.0
minimum_queries = 32
percentile = 0.9
samples_per_query = 2
[tiers.nano.scenarios.server]
minimum_s = 1.0
minimum_queries = 64
percentile = 0.9
bounds = {ttft_s = 0.1, tpot_s = 0.01}
[tiers.nano.scenarios.interactive]
minimum_s = 1.0
minimum_queries = 10
percentile = 0.9
bounds = {latency_s = 0.035}
[tiers.nano.scenarios.offline]
minimum_s = 1.0
minimum_queries = 64
percentile = 0.9
[[sources]]
what = "all"
source = "made up for tests"
date = "2026-11-22"
"""

MS = 1_000_000


class ToyServedRun(ToyRun):
    """The events and requests of a served run, 100 requests of 8 prompt and 5 output tokens.

    The first token of request k comes 20 + k % 10 ms after it was due, the others each 2 ms later; it is issued 0.1 ms
    late. In a closed loop a request is due when the one before was answered; at a rate of 20 a second when the rulebook
    says; then 80 of 100 hold the bounds of interactive, and all those of server. Four requests were
    assessed: 0.2 nats over the source of 1 nat a token, all 20 tokens agreeing.
    """

    COUNT = 100

    def __init__(self, rulebook: Rulebook, scenario: str = "single-stream", rate_per_s: float | None = None) -> None:
        benchmark = rulebook.benchmarks["toy-serve"]
        tier = benchmark.tiers["nano"]
        self.rulebook, self.system = rulebook, toy_system()
        self.spec = toy_spec(
            benchmark,
            self.system,
            {**settings_of(tier), "scenario.name": scenario},
            kind="serve",
            rate_per_s=rate_per_s,
        )
        self.rows, self.sealed, self.alive, self.problems, self.series = [], True, False, (), ()
        self.evaluations = {}
        per_query = tier.scenarios[scenario].samples_per_query
        self.requests = self._columns(per_query)
        self.answers = {
            "index": [], "loss_nats": [9.6] * 4, "source_nats": [8.0] * 4, "token_count": [8] * 4,
            "agreed_count": [5] * 4, "compared_count": [5] * 4,
        }  # fmt: skip
        self.pick()
        self._write()

    def _columns(self, per_query: int) -> dict[str, list[Any]]:
        rate, scenario = self.spec.rate_per_s, self.spec.scenario
        arrivals = arrivals_ns(self.spec.seed, rate, self.COUNT) if rate else []
        columns: dict[str, list[Any]] = {name: [] for name in RequestTable.__dataclass_fields__}
        free_ns = last_ns = 0
        for k in range(self.COUNT):
            if k % per_query == 0:
                free_ns = 0 if scenario == "offline" else max(free_ns, last_ns)
            due_ns = arrivals[k] if rate else free_ns
            first_ns = due_ns + (20 + k % 10) * MS
            row = {
                "index": k, "query": k // per_query, "scheduled_ns": due_ns, "issued_ns": due_ns + MS // 10,
                "first_ns": first_ns, "last_ns": first_ns + 8 * MS, "input_tokens": 8, "output_tokens": 5,
                "expected_tokens": 5, "outcome": "ok", "gaps_ns": (2 * MS,) * 4, "tokens": (1, 2, 3, 4, 5),
            }  # fmt: skip
            last_ns = max(last_ns, row["last_ns"])
            for name, value in row.items():
                columns[name].append(value)
        return columns

    def pick(self) -> None:
        """The answers that the seed picks are those that were assessed."""
        rows = zip(self.requests["index"], self.requests["outcome"], strict=True)
        answered = [index for index, outcome in rows if outcome == "ok"]
        self.answers["index"] = picked(self.spec.seed, answered, share=25, least=4, most=8)
        for column in self.answers.values():
            del column[len(self.answers["index"]) :]

    def fail(self, row: int, outcome: str) -> None:
        """Request `row` was not answered; the generator counted it, and the pick passed over it."""
        self.requests["outcome"][row] = outcome
        for name in ("first_ns", "last_ns"):
            self.requests[name][row] = None
        self.requests["output_tokens"][row] = 0
        self.requests["gaps_ns"][row] = self.requests["tokens"][row] = ()
        self.find(keys.SERVED)["meta"]["errors"] += 1
        self.pick()

    def _write(self) -> None:
        last_s = max(self.requests["last_ns"]) / SECOND
        stop_s = 1.0 + max(last_s, 1.0)
        self.add(keys.INIT_START, 0.0, proc="supervisor")
        self.add(keys.HOST_STATE, 0.0, "before", proc="supervisor", load_1m=0.1, throttle_count=3)
        self.add(keys.PHASE, 0.5, "compile")
        self.add(keys.PHASE, 0.7, "gates")
        gate = {"name": "loss", "dtype": "fp32", "value": 1e-7, "limit": 1e-5, "passed": True, "unit": "1"}
        self.add(keys.GATE, 0.8, "loss", **gate)
        self.add(keys.SEED, 0.9, self.spec.seed)
        self.add(keys.WEIGHTS_SHA256, 0.9, "a" * 64, when="init")
        self.add(
            keys.SERVE, 0.95, self.spec.scenario, weight_bytes=4_000_000, cache_bytes_per_token=1000,
            read_bandwidth_bytes_per_s=1e10, last_level_cache_bytes=1_000_000,
        )  # fmt: skip
        self.add(keys.RUN_START, 1.0)
        self.add(keys.PHASE, 1.0, "serve")
        self.add(keys.RUN_STOP, stop_s, status="success")
        self.add(
            keys.SERVED, stop_s, len(set(self.requests["query"])), requests=self.COUNT, errors=0, stopped_by="minimum"
        )
        self.add(keys.PHASE, stop_s, "eval")
        times_ns = [(5 + k % 3) * MS for k in range(24)]
        self.add(keys.REPEATS, stop_s + 0.05, 24, new_ns=times_ns, repeated_ns=times_ns[::-1])
        self.add(keys.PHASE, stop_s + 0.1, "teardown")
        self.add(keys.MEMORY, stop_s + 0.1, 12345, scope="process")
        self.add(keys.OVERHEAD, stop_s + 0.2, 1e-6, proc="supervisor", supervisor_cpu_s=0.01)
        self.add(keys.HOST_STATE, stop_s + 0.2, "after", proc="supervisor", throttle_count=3)
        claim = "target_missed" if self.spec.scenario == "interactive" else "ok"
        self.add(keys.OUTCOME, stop_s + 0.3, claim, proc="supervisor", exit_status=0, limit=None, cancelled_by=None)

    def evidence(self) -> Evidence:
        """What the judge sees."""
        tables = {
            "requests": RequestTable(**{name: tuple(column) for name, column in self.requests.items()}),
            "answers": AnswerTable(**{name: tuple(column) for name, column in self.answers.items()}),
        }
        return replace(super().evidence(), **tables)


@pytest.fixture
def make_served(toy_rulebook: Rulebook) -> Callable[..., ToyServedRun]:
    """Makes a fresh clean served run of a scenario."""
    return lambda scenario="single-stream", rate_per_s=None: ToyServedRun(toy_rulebook, scenario, rate_per_s)


@pytest.fixture
def served_run(make_served: Callable[..., ToyServedRun]) -> ToyServedRun:
    """One clean served run, single-stream."""
    return make_served()
