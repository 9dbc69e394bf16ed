"""Rows as views hand them out, and a small store of real bundles, made by hand."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oildrop.results.bundle.write import BundleWriter
from oildrop.results.ingest import refresh
from oildrop.results.layout import StoreLayout
from oildrop.results.rows import RunRow
from oildrop.rules.digest import MeterStatus, PhaseSpan, RunDigest
from oildrop.rules.identity import rulebook_seed, workload_id
from oildrop.rules.loading import load_rulebook
from oildrop.rules.records import Finding, Judgement, Limits, Metric, RunSpec
from oildrop.rules.rulebook import settings_of
from oildrop.rules.system import Cpu, Memory, OperatingSystem, Software, System

RowFactory = Callable[..., RunRow]


@pytest.fixture(autouse=True)
def no_width_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test runner that names the width of its own screen must not wrap what is compared here."""
    monkeypatch.delenv("COLUMNS", raising=False)


def make_spec(**changes: Any) -> RunSpec:
    fields: dict[str, Any] = {
        "run_id": "20260102t030405-aaaa",
        "created_utc": "2026-01-02T03:04:05.000000Z",
        "benchmark": "lm-pretrain",
        "benchmark_sha256": "b" * 64,
        "tier": "nano",
        "division": "closed",
        "backend": "torch-cpu",
        "kind": "to_target",
        "settings": {"execution.dtype": "fp32", "execution.compile": "eager"},
        "seed": 77,
        "seed_index": 0,
        "limits": Limits(deadline_s=250, heartbeat_s=10, stall_s=60),
        "workload_id": "w" * 16,
        "system_id": "s" * 16,
        "software_id": "f" * 16,
        "set_id": "set-1",
        "session_id": "session-1",
        "command": ("oildrop", "run", "lm-pretrain", "--note", "two words"),
        "oildrop_version": "0.1.0",
    }
    return RunSpec(**{**fields, **changes})


def measured(name: str, value: float | None, unit: str, reason: str | None = None) -> Metric:
    status = "not_measured" if value is None else "measured"
    return Metric(name=name, value=value, unit=unit, status=status, reason=reason, formula="test/1", scope="run")


def make_row(
    outcome: str = "ok",
    *,
    time_s: float | None = 21.3,
    reason: str | None = None,
    findings: tuple[Finding, ...] = (),
    **spec: Any,
) -> RunRow:
    built = make_spec(**spec)
    reached = outcome == "ok" and time_s is not None
    metrics = (
        measured("time_to_target_s", time_s if reached else None, "s", None if reached else "target not met"),
        measured("power_w", None, "W", "no power meter answers on this machine"),
    )
    judgement = Judgement(
        run_id=built.run_id,
        outcome=outcome,
        reason=reason,
        metrics=metrics,
        findings=findings,
        judge_version="1",
        tables_sha256="0" * 16,
    )
    digest = RunDigest(
        phases=(
            PhaseSpan(name="init", start_ns=0, stop_ns=1_500_000_000),
            PhaseSpan(name="train", start_ns=1_500_000_000, stop_ns=2_500_000_000),
            PhaseSpan(name="eval", start_ns=2_500_000_000, stop_ns=2_750_000_000),
            PhaseSpan(name="train", start_ns=2_750_000_000, stop_ns=3_750_000_000),
        ),
        target=0.5,
        meters=(MeterStatus(name="rapl", status="not_measured", reason="needs root", scope=None, method=None),),
    )
    return RunRow(
        spec=built, system=None, judgement=judgement, digest=digest, sealed=True, bundle_id="d" * 64, elapsed_s=30.0
    )


@pytest.fixture
def row() -> RowFactory:
    return make_row


@pytest.fixture
def spec() -> Callable[..., RunSpec]:
    return make_spec


@pytest.fixture(name="machine")
def plain_machine() -> System:
    return machine()


@pytest.fixture(scope="session")
def example_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a crashed and a cancelled run, both sealed, and one whose supervisor died. Read only."""
    layout = StoreLayout(tmp_path_factory.mktemp("example") / "store")
    layout.ensure()
    write_bundle(layout, "20260101-crash", outcome="crash", reason="exit status 3")
    write_bundle(layout, "20260102-cancelled", outcome="cancelled", reason="Ctrl-C")
    write_bundle(layout, "20260103-lost", outcome=None)
    refresh(layout)
    return layout.root


@pytest.fixture
def store(example_store: Path, tmp_path: Path) -> Path:
    """A copy of the example store that a test may change."""
    return Path(shutil.copytree(example_store, tmp_path / "store"))


def write_bundle(layout: StoreLayout, run_id: str, *, outcome: str | None, reason: str | None = None) -> None:
    """A run that ended in `outcome` before it trained; None leaves it as a killed supervisor does."""
    rulebook = load_rulebook()
    benchmark, system = rulebook.benchmarks["lm-pretrain"], machine()
    settings = settings_of(benchmark.tiers["nano"])
    spec = make_spec(
        run_id=run_id,
        created_utc=f"{run_id[:4]}-{run_id[4:6]}-{run_id[6:8]}T00:00:00.000000Z",
        benchmark_sha256=benchmark.sha256,
        settings=settings,
        workload_id=workload_id(benchmark.sha256, "nano", "closed", settings),
        system_id=system.system_id(),
        software_id=system.software_id(),
        seed=rulebook_seed(benchmark.sha256, 0),
    )
    writer = BundleWriter.create(layout.run_dir(run_id), spec, system, rulebook.files_of(benchmark))

    def log(key: str, value: Any = None, meta: dict[str, Any] | None = None) -> None:
        writer.append(key=key, value=value, meta=meta, t_ns=next(ticks), utc=spec.created_utc, proc="supervisor")

    ticks = itertools.count(0, 1_000_000_000)
    log("init_start")
    log("phase", "data")
    log("phase", "compile")
    if outcome is None:
        writer.close()
        return
    log("outcome", outcome, {"reason": reason, "cancelled_by": "SIGINT" if outcome == "cancelled" else None})
    writer.seal()


def machine() -> System:
    """A plain two-core machine."""
    return System(
        cpu=Cpu(
            model="Example CPU", vendor=None, architecture="x86_64", sockets=1, physical_cores=2, logical_cores=2,
            usable_cores=2, max_frequency_hz=3_000_000_000, l3_cache_bytes=None, governor=None,
        ),
        memory=Memory(total_bytes=2**33, swap_bytes=None, limit_bytes=None),
        os=OperatingSystem(name="Linux", release="1", kernel="6.1", virtualisation=None),
        accelerators=(),
        power_cap_w=None,
        software=Software(
            oildrop="0.1.0", python="3.11.7", frameworks={"torch": "2.9.0"}, libraries={}, drivers={},
            git_revision=None, image=None,
        ),
        missing={"cpu.vendor": "not reported"},
    )  # fmt: skip
