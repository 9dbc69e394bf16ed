"""Runs made up for tests of the page: plausible in shape and size, measured nowhere.

`many_rows` makes any number of them; the same arguments give the same runs.
"""

from __future__ import annotations

import hashlib
import math
import random
from typing import Any

from oildrop.results.rows import RunRow
from oildrop.rules.catalogue import CATALOGUE, metrics_of
from oildrop.rules.digest import CurvePoint, MeterStatus, RunDigest, Trace
from oildrop.rules.phases import PhaseSpan
from oildrop.rules.records import Finding, Judgement, Limits, Metric, RunSpec
from oildrop.rules.reference import Reference, ReferencePoint, ReferenceRun
from oildrop.rules.rulebook import Benchmark, DevicePeaks, Division, Rule, Rulebook, Tier
from oildrop.rules.rulebook_parts import Gates, Quality, Range, Schedule, Source
from oildrop.rules.system import Accelerator, Cpu, Memory, OperatingSystem, Software, System

NO_METER = "no meter of this machine answers: no RAPL domain is readable and no accelerator was found"
NOT_REACHED = "the target was not reached"
SETTINGS: dict[str, bool | int | float | str] = {
    "data.documents_per_batch": 16,
    "execution.compile": "eager",
    "execution.dtype": "fp32",
    "execution.threads": 0,
    "model.layers": 4,
    "optimizer.learning_rate": 3e-3,
}
ENDINGS = {
    "target_missed": "512 000 samples were used up at 0.61 nats/token; the target is 0.5",
    "diverged": "the loss at step 212 was nan",
    "oom": "the worker asked for 9.1 GiB; the limit is 8 GiB",
    "timeout": "no heartbeat for 15 s (limit 15 s)",
    "crash": "the worker was killed by signal 9 (SIGKILL)",
    "accuracy_fail": "gate fp32: relative RMS 3e-3 is over 1e-5",
    "invalid": "R014: the recomputed quality differs from the log's",
    "unsupported": "jax is not installed; pip install 'oildrop[jax]'",
    "cancelled": "stopped by Ctrl-C",
    "lost": "its supervisor died after 12.4 s without recording an end",
    "withdrawn": "taken back by its submitter: wrong power cap",
    "started": "still running",
}


def digest_of_text(text: str, digits: int = 16) -> str:
    """Hex digits made from `text`."""
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def rulebook() -> Rulebook:
    """A small rulebook with two benchmarks at two tiers."""
    rules = (
        Rule(id="R001", title="Sealed", text="A run is sealed.", why="Else files may change.", severity="flag"),
        Rule(
            id="R014",
            title="Quality recomputed",
            text="Log and judge agree.",
            why="A log is a claim.",
            severity="invalid",
        ),
    )
    division = {
        "closed": Division(name="closed", title="Closed", text="Only free settings may be changed."),
        "open": Division(name="open", title="Open", text="Anything that reaches the target; what changed is listed."),
    }
    peaks = DevicePeaks(
        name="Example X100", match=("Example X100",), peak_flop_per_s={"bf16": 9.9e14}, bandwidth_bytes_per_s=3.35e12,
        tdp_w=700, memory_bytes=80 * 2**30, source="vendor's data sheet", date="2026-01-02",
    )  # fmt: skip
    made_up = ReferencePoint(
        tier="nano", batch=16, measured="2026-11-22", oildrop_version="0.1.0", system="a machine made up for a test",
        how="Twenty runs made up for a test.",
        runs=tuple(
            ReferenceRun(
                seed_index=index, seed=index + 1, framework="torch 2.13.0", backend="torch-cpu", dtype="fp32",
                samples_to_target=4000.5 + 10 * index,
            )
            for index in range(20)
        ),
    )  # fmt: skip
    reference = Reference(benchmark="lm-pretrain", tier="nano", batch=16, points=(made_up,))
    return Rulebook(
        version="v1",
        benchmarks={name: _benchmark(name) for name in ("image-classify", "lm-pretrain")},
        divisions=division,
        rules={rule.id: rule for rule in rules},
        scenarios={},
        devices=(peaks,),
        references=(reference,),
        tables_sha256=digest_of_text("tables"),
        files={},
    )


def _benchmark(name: str) -> Benchmark:
    language = name == "lm-pretrain"
    common: dict[str, Any] = {
        "heartbeat_s": 15.0, "stall_s": 60.0, "init_limit_s": 300.0, "schedule": Schedule(first=0, every=160),
        "settings": SETTINGS,
    }  # fmt: skip
    nano = Tier(minimum_runs=5, target=0.5, cap_samples=40000, reference_time_s=20.0, deadline_s=250.0, **common)
    return Benchmark(
        name=name,
        title="Train a small decoder on a source of known entropy" if language else "Train a small network on digits",
        summary="Made up for a test.",
        task=name.replace("-", "_"),
        kind="to_target",
        quality=Quality(
            metric="excess_loss" if language else "cross_entropy",
            unit="nats/token" if language else "nats/image",
            better="lower",
        ),
        closed_free=("execution.compile", "execution.dtype", "execution.threads"),
        allowed={"execution.dtype": ("fp32", "bf16"), "optimizer.learning_rate": Range(min=0, max=1e12)},
        flops_formula="decoder_train/1" if language else "conv_train/1",
        gates=Gates(
            seed=20260101,
            documents=4,
            steps=3,
            weights_std=0.06,
            limits={"fp32": {"loss_train": 1e-5, "weights_change": 1e-3}, "bf16": {"loss_train": 0.02}},
        ),
        tiers={"smoke": Tier(minimum_runs=1, steps=20, deadline_s=120.0, **common), "nano": nano},
        sources=(Source(what="optimizer.learning_rate", source="chosen for a test", date="2026-11-22"),),
        sha256=digest_of_text(name, 64),
    )


def system(index: int = 0, *, accelerator: str | None = None) -> System:
    """Machine number `index`; with eight accelerators where `accelerator` names a model."""
    parts = tuple(
        Accelerator(
            vendor="Example", model=accelerator, device_id=digest_of_text(f"{index}-{place}"), memory_bytes=80 * 2**30,
            power_limit_w=700, driver="555.1", peer_links="switch",
        )
        for place in range(8 if accelerator else 0)
    )  # fmt: skip
    return System(
        cpu=Cpu(
            model=f"Example {9000 + index} 2-Core Processor", vendor="Example", architecture="x86_64", sockets=1,
            physical_cores=1, logical_cores=2, usable_cores=2, max_frequency_hz=None, l3_cache_bytes=32 * 2**20,
            governor=None, features=("avx2", "avx512f"),
        ),
        memory=Memory(total_bytes=16 * 2**30, swap_bytes=0, limit_bytes=None),
        os=OperatingSystem(name="Debian GNU/Linux", release="12", kernel="6.1.0", virtualisation="kvm"),
        accelerators=parts,
        power_cap_w=None,
        software=Software(
            oildrop="0.1.0", python="3.11.7", frameworks={"torch": "2.13.0+cpu"}, libraries={"numpy": "2.3.0"},
            drivers={}, git_revision=digest_of_text("git", 40), image=None,
        ),
        missing={"cpu.max_frequency_hz": "the kernel shows no cpufreq", "cpu.governor": "the kernel shows no cpufreq"},
    )  # fmt: skip


def metric(
    name: str, value: float | None, *, reason: str | None = None, window_ns: tuple[int, int] | None = None
) -> Metric:
    """Headline metric `name`; null ones need a `reason`."""
    status = "not_measured" if value is None else "derived"
    formula = "power/1" if name.endswith(("_j", "_w")) else f"{name.removesuffix('_s')}/1"
    return Metric(
        name=name, value=value, unit=CATALOGUE[name].unit, status=status, reason=reason, formula=formula, scope="run",
        window_ns=window_ns,
    )  # fmt: skip


def row(
    number: int,
    *,
    outcome: str = "ok",
    reason: str | None = None,
    benchmark: str = "lm-pretrain",
    tier: str = "nano",
    backend: str = "torch-cpu",
    division: str = "closed",
    machine: System | None = None,
    system_id: str | None = None,
    seed_index: int | None = None,
    time_s: float = 21.3,
    changes: dict[str, Any] | None = None,
    note: str | None = None,
    points: int = 20,
    findings: tuple[Finding, ...] = (),
    run_id: str | None = None,
) -> RunRow:
    """Run number `number`; what is not given is like every other run."""
    machine = machine or system()
    settings = {**SETTINGS, **(changes or {})}
    system_id = machine.system_id() if system_id is None else system_id
    workload = digest_of_text(f"{benchmark}{tier}{division}{sorted(settings.items())}")
    fixed = tier == "smoke"
    seed = number if seed_index is None else seed_index
    spec = RunSpec(
        run_id=run_id or f"20261122-{100000 + number}-{digest_of_text(str(number), 4)}",
        created_utc=f"2026-11-22T{10 + number // 3600 % 14:02d}:{number // 60 % 60:02d}:{number % 60:02d}.250000Z",
        benchmark=benchmark, benchmark_sha256=digest_of_text(benchmark, 64), tier=tier, division=division,
        backend=backend, kind="fixed_work" if fixed else "to_target", settings=settings,
        changed={key: (SETTINGS[key], value) for key, value in (changes or {}).items()},
        seed=1000 + seed, seed_index=seed,
        limits=Limits(deadline_s=250, heartbeat_s=15, stall_s=60), workload_id=workload, system_id=system_id,
        software_id=digest_of_text(backend), set_id=digest_of_text(workload + system_id + backend),
        session_id=digest_of_text("session"), note=note, oildrop_version="0.1.0",
        command=("oildrop", "run", benchmark, "--tier", tier, "--backend", backend, "--seeds", str(seed)),
    )  # fmt: skip
    if outcome != "ok" and reason is None:
        reason = ENDINGS.get(outcome)
    judgement = Judgement(
        run_id=spec.run_id, outcome=outcome, reason=reason, metrics=_metrics(spec, outcome, time_s),
        findings=findings, judge_version="1", tables_sha256=digest_of_text("tables"),
    )  # fmt: skip
    unseen = outcome in ("unsupported", "started", "lost", "withdrawn")
    digest = RunDigest(target=None if fixed else 0.5) if unseen else _digest(outcome, time_s, points, fixed)
    ends_ns = [span.stop_ns for span in digest.phases]
    return RunRow(
        spec=spec, system=machine, judgement=judgement, digest=digest, elapsed_s=max(ends_ns, default=0) / 1e9 or None,
        sealed=outcome not in ("started", "lost"),
        bundle_id=None if outcome in ("started", "lost") else digest_of_text(spec.run_id, 64),
    )  # fmt: skip


def _metrics(spec: RunSpec, outcome: str, time_s: float) -> tuple[Metric, ...]:
    values: dict[str, float | None] = {
        "train_tokens_per_s": (321_984.0 if spec.benchmark == "lm-pretrain" else 5_031.0) / time_s,
        "train_samples_per_s": 5_031.0 / time_s, "final_quality": 0.4913,
        "final_accuracy": 0.618, "eval_fraction": 0.083, "busy_fraction": 0.973, "memory_peak_bytes": 512e6 + time_s,
        "setup_s": 3.21, "compile_s": 0.213, "harness_overhead_fraction": 0.00031, "model_flop_per_s": 6.1e12 / time_s,
    }  # fmt: skip
    if spec.kind == "to_target" and outcome == "ok":
        values |= {"time_to_target_s": time_s, "time_to_target_raw_s": time_s * 1.01, "samples_to_target": 5031.25}
    if outcome in ("unsupported", "started", "lost", "withdrawn"):
        values = {}
    found = []
    for name in metrics_of(spec.kind):
        value = values.get(name)
        why = NO_METER if name.startswith(("energy", "power", "idle")) else NOT_REACHED
        window_ns = None if value is None else (2_400_000_000, 2_400_000_000 + int(time_s * 1e9))
        found.append(metric(name, value, reason=None if value is not None else why, window_ns=window_ns))
    return tuple(found)


def _digest(outcome: str, time_s: float, points: int, fixed: bool) -> RunDigest:
    ends = [(index + 1) * time_s / points for index in range(points)]
    decline = math.log(2.1 / (0.62 if outcome == "target_missed" else 0.49))
    curve = [
        CurvePoint(samples=160 * (index + 1), time_s=end, quality=2.1 * math.exp(-decline * (index + 1) / points))
        for index, end in enumerate(ends)
    ]
    if outcome == "diverged":
        curve[-1] = CurvePoint(samples=160 * points, time_s=ends[-1], quality=None)
    spans, clock = [], 0
    for name, seconds in (("probe", 0.2), ("data", 0.3), ("gates", 0.9), ("init", 0.4), ("warmup", 0.6)):
        spans.append(PhaseSpan(name=name, start_ns=clock, stop_ns=clock + int(seconds * 1e9)))
        clock = spans[-1].stop_ns
    start = clock
    for end in ends:
        train_stop = start + int((end - 0.07 * time_s / points) * 1e9)
        spans.append(PhaseSpan(name="train", start_ns=clock, stop_ns=train_stop))
        clock = start + int(end * 1e9)
        spans.append(PhaseSpan(name="eval", start_ns=train_stop, stop_ns=clock))
    spans.append(PhaseSpan(name="teardown", start_ns=clock, stop_ns=clock + 150_000_000))
    ticks = tuple(0.2 * index for index in range(120))
    traces = (
        Trace(
            meter="process", quantity="cpu_s", device="worker", scope="process", time_s=ticks,
            values=tuple(1.9 * tick + 0.02 * math.sin(tick) for tick in ticks),
        ),
        Trace(
            meter="process", quantity="rss_bytes", device="worker", scope="process", time_s=ticks,
            values=tuple(4.1e8 + 9e7 * (1 - math.exp(-tick)) for tick in ticks),
        ),
    )  # fmt: skip
    meters = (
        MeterStatus(name="process", status="measured", reason=None, scope="process", method="psutil"),
        MeterStatus(name="rapl", status="not_measured", reason="energy_uj is not readable", scope=None, method=None),
    )
    return RunDigest(
        phases=tuple(spans), curve=tuple(curve), target=None if fixed else 0.5, traces=traces, meters=meters
    )


def many_rows(count: int, *, machines: int = 40, failing: float = 0.08) -> list[RunRow]:
    """`count` runs, newest first: two benchmarks at nano on `machines` systems, ten runs a configuration.

    Args:
        failing: Share of runs that end otherwise than `ok`, spread over all outcomes.
    """
    dice = random.Random(20261122)
    systems = [system(index) for index in range(machines)]
    speeds = [math.exp(dice.gauss(0, 0.6)) for _ in systems]
    threads = [0, 1, 2, 4, 8, 16, 32, 64, 3, 6, 12, 24]
    rows = []
    for number in range(count):
        place, seed_index = divmod(number, 10)
        benchmark = ("lm-pretrain", "image-classify")[place % 2]
        machine, variant = place // 2 % machines, place // 2 // machines
        outcome = dice.choice(tuple(ENDINGS)) if dice.random() < failing else "ok"
        chosen = (
            {} if variant == 0 else {"execution.threads": threads[variant % len(threads)] + variant // len(threads)}
        )
        rows.append(
            row(
                number, outcome=outcome, benchmark=benchmark, machine=systems[machine], seed_index=seed_index,
                changes={key: value for key, value in chosen.items() if value != SETTINGS[key]},
                time_s=20 * speeds[machine] * (1 + 0.1 * variant) * math.exp(dice.gauss(0, 0.02)),
            )
        )  # fmt: skip
    return rows[::-1]


def one_of_each() -> list[RunRow]:
    """A small store with every outcome in it, newest first."""
    machine, farm = system(), system(7, accelerator="Example X100")
    rows = [row(index, machine=machine, time_s=21.3 + 0.21 * index, seed_index=index) for index in range(5)]
    rows += [
        row(10 + index, machine=farm, backend="torch-cuda", time_s=2.9 + 0.02 * index, seed_index=index,
            changes={"execution.dtype": "bf16"})
        for index in range(5)
    ]  # fmt: skip
    rows += [
        row(20 + index, benchmark="image-classify", machine=machine, time_s=6.1 + 0.05 * index, seed_index=index)
        for index in range(3)
    ]
    rows += [
        row(40 + index, machine=machine, outcome=outcome, seed_index=index, changes={"optimizer.learning_rate": 0.03},
            division="open", time_s=40.0)
        for index, outcome in enumerate(ENDINGS) if outcome not in ("unsupported", "started")
    ]  # fmt: skip
    rows.append(row(60, outcome="unsupported", backend="jax-cpu", machine=machine, seed_index=0))
    rows.append(row(61, outcome="started", benchmark="image-classify", tier="smoke", machine=machine, seed_index=0))
    rows.append(row(62, benchmark="image-classify", tier="smoke", machine=machine, seed_index=1))
    return rows[::-1]
