"""A clean run of a small benchmark made by hand, which each test breaks in one place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any

import pytest

from oildrop.rules import keys
from oildrop.rules.events import Event
from oildrop.rules.evidence import EvaluationTable, Evidence, Series
from oildrop.rules.identity import rulebook_seed, workload_id
from oildrop.rules.loading import parse_rulebook
from oildrop.rules.records import Limits, RunSpec
from oildrop.rules.rulebook import Rulebook, settings_of
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
    return parse_rulebook({**shared, "toy.toml": BENCHMARK, "reference/toy.toml": REFERENCE})


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
        self.spec = RunSpec(
            run_id="20261122-000000-000000-aaaaaa",
            created_utc="2026-11-22T00:00:00.000Z",
            benchmark="toy",
            benchmark_sha256=benchmark.sha256,
            tier="nano",
            division="closed",
            backend="torch-cpu",
            kind="to_target",
            settings=settings,
            seed=rulebook_seed(benchmark.sha256, 0),
            seed_index=0,
            limits=Limits(deadline_s=60, heartbeat_s=5, stall_s=10),
            workload_id=workload_id(benchmark.sha256, "nano", "closed", settings),
            system_id=system.system_id(),
            software_id=system.software_id(),
            set_id="s",
            session_id="s",
            oildrop_version="0",
        )
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
