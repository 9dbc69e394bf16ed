"""From what was asked for to complete run specs; touches no device and writes nothing."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from oildrop.harness.backends import BACKENDS, availability, choose_backend
from oildrop.harness.ranks.launch import devices_of, ranks_of
from oildrop.harness.system.probe import probe_system
from oildrop.results.identity import store_identity
from oildrop.results.layout import StoreLayout
from oildrop.rules.canonical import sha256_bytes
from oildrop.rules.errors import UsageError
from oildrop.rules.identity import rulebook_seed, set_id, workload_id
from oildrop.rules.loading import load_rulebook
from oildrop.rules.records import Limits, Process, RunSpec, Scalar
from oildrop.rules.reference import batch_in, batch_key
from oildrop.rules.rulebook import Benchmark, Rulebook
from oildrop.rules.settings import Resolved, find_benchmark, nearest, resolve
from oildrop.rules.system import System
from oildrop.suite.private import host_redactor, redact_system
from oildrop.suite.seeds import used_seed_indices
from oildrop.suite.suites import SUITES

DEFAULT_TIER = "nano"
BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What a person asked for; None where they left it to the rulebook.

    Attributes:
        seeds: Seed numbers of the rulebook's sequence, chosen by hand; such runs are never ranked.
        changes: Settings to change, as text by dotted key.
    """

    benchmarks: tuple[str, ...] = ()
    suite: str | None = None
    tier: str | None = None
    backend: str = "auto"
    runs: int | None = None
    seeds: tuple[int, ...] | None = None
    changes: Mapping[str, str] = field(default_factory=dict)
    division: str = "closed"
    timeout_s: float | None = None
    memory_limit_bytes: int | None = None
    note: str | None = None
    max_restarts: int = 0


@dataclass(frozen=True, kw_only=True)
class PlannedSet:
    """The runs of one configuration, ready to start.

    Attributes:
        system: The machine as probed once for the whole plan.
        unsupported_reason: Why the backend cannot run here; such a set holds one run, recorded as `unsupported`.
        backend_why: Why this backend was picked.
        expected_s: Reference time of one run in seconds; None for fixed work.
    """

    benchmark: str
    tier: str
    backend: str
    division: str
    specs: tuple[RunSpec, ...]
    system: System
    unsupported_reason: str | None
    backend_why: str
    expected_s: float | None


@dataclass(frozen=True, kw_only=True)
class _Host:
    """What all sets of one plan share."""

    request: RunRequest
    rulebook: Rulebook
    layout: StoreLayout
    system: System
    store_id: str
    session_id: str
    boot_id: str | None
    note: str | None
    backend: str
    backend_why: str


def plan(request: RunRequest, layout: StoreLayout, *, create: bool = False) -> list[PlannedSet]:
    """Complete specs of every run asked for, a set a benchmark.

    With `create` a new store gets its identity; without it nothing is written, and the ids that depend on a new
    store's identity hold for this plan alone.

    Raises:
        UsageError: An unknown name, a locked or ill-valued setting, a number out of range.
    """
    rulebook = load_rulebook()
    names = _benchmark_names(request, rulebook)
    if request.division not in rulebook.divisions:
        raise UsageError(f"unknown division {request.division!r}{nearest(request.division, list(rulebook.divisions))}")
    if request.backend not in ("auto", *BACKENDS):
        raise UsageError(f"unknown backend {request.backend!r}{nearest(request.backend, ['auto', *BACKENDS])}")
    wanted = [(find_benchmark(rulebook, name), _resolved(request, find_benchmark(rulebook, name))) for name in names]
    backend, why = (request.backend, "asked for") if request.backend != "auto" else choose_backend()
    redact = host_redactor()
    identity = store_identity(layout, create=create)
    host = _Host(
        request=request,
        rulebook=rulebook,
        layout=layout,
        system=redact_system(probe_system(identity.salt), redact),
        store_id=identity.store_id,
        session_id=secrets.token_hex(8),
        boot_id=_boot_id(identity.salt),
        note=None if request.note is None else redact(request.note),
        backend=backend,
        backend_why=why,
    )
    return [_planned_set(host, benchmark, resolved) for benchmark, resolved in wanted]


def _benchmark_names(request: RunRequest, rulebook: Rulebook) -> tuple[str, ...]:
    if request.benchmarks and request.suite:
        raise UsageError(f"give benchmarks or --suite {request.suite}, not both")
    if request.benchmarks:
        return tuple(dict.fromkeys(request.benchmarks))
    suite = request.suite or "default"
    if suite not in SUITES:
        raise UsageError(f"unknown suite {suite!r}{nearest(suite, list(SUITES))}")
    return SUITES[suite]


def _resolved(request: RunRequest, benchmark: Benchmark) -> Resolved:
    resolved = resolve(benchmark, request.tier or DEFAULT_TIER, request.division, dict(request.changes))
    require_even_shares(resolved.settings)
    return resolved


def require_even_shares(settings: Mapping[str, Scalar]) -> None:
    """Raises UsageError where the devices cannot share a training batch evenly."""
    devices, batch = devices_of(settings), batch_in(settings)
    if batch is None or batch % devices == 0:
        return
    fitting = ", ".join(str(count) for count in range(1, batch + 1) if batch % count == 0)
    raise UsageError(
        f"execution.devices = {devices} does not divide {batch_key(settings)} = {batch}, and each device takes an "
        f"equal share; use one of {fitting}"
    )


def _planned_set(host: _Host, benchmark: Benchmark, resolved: Resolved) -> PlannedSet:
    request = host.request
    tier_name = request.tier or DEFAULT_TIER
    tier = benchmark.tiers[tier_name]
    found = availability(host.backend)
    workload = workload_id(benchmark.sha256, tier_name, request.division, resolved.settings)
    of_set = set_id(host.store_id, host.backend, workload, host.system.system_id(), host.system.software_id())
    chosen = request.seeds is not None
    if not found.available:
        indices: tuple[int | None, ...] = (None,)
    elif request.seeds is not None:
        indices = request.seeds
    else:
        indices = _next_indices(host.layout, of_set, request.runs or tier.minimum_runs)
    specs = tuple(
        RunSpec(
            run_id=new_run_id(),
            created_utc=utc_now(),
            benchmark=benchmark.name,
            benchmark_sha256=benchmark.sha256,
            tier=tier_name,
            division=request.division,
            backend=host.backend,
            kind=tier.kind,
            settings=resolved.settings,
            changed=resolved.changed,
            seed=rulebook_seed(benchmark.sha256, index or 0),
            seed_index=index,
            seeds_chosen=chosen,
            limits=Limits(
                deadline_s=request.timeout_s or tier.deadline_s,
                heartbeat_s=tier.heartbeat_s,
                stall_s=tier.stall_s,
                memory_bytes=request.memory_limit_bytes,
            ),
            workload_id=workload,
            system_id=host.system.system_id(),
            software_id=host.system.software_id(),
            set_id=of_set,
            session_id=host.session_id,
            boot_id=host.boot_id,
            note=host.note,
            processes=tuple(
                Process(role="worker", rank=rank) for rank in range(ranks_of(host.backend, resolved.settings))
            ),
            max_restarts=request.max_restarts,
            command=repeat_command(request, benchmark.name, tier_name, host.backend, index),
            oildrop_version=version("oildrop"),
        )
        for index in indices
    )
    return PlannedSet(
        benchmark=benchmark.name,
        tier=tier_name,
        backend=host.backend,
        division=request.division,
        specs=specs,
        system=host.system,
        unsupported_reason=None
        if found.available
        else f"{found.reason}; {found.install or 'no way to install it here'}",
        backend_why=host.backend_why,
        expected_s=tier.reference_time_s,
    )


def _next_indices(layout: StoreLayout, of_set: str, count: int) -> tuple[int, ...]:
    """The `count` lowest seed numbers that no registered run of the set has used."""
    used = used_seed_indices(layout, of_set)
    free = (index for index in range(len(used) + count) if index not in used)
    return tuple(next(free) for _ in range(count))


def repeat_command(request: RunRequest, benchmark: str, tier: str, backend: str, index: int | None) -> tuple[str, ...]:
    """The command line that makes this very run again."""
    parts = ["oildrop", "run", benchmark, "--tier", tier, "--backend", backend]
    if request.division != "closed":
        parts += ["--division", request.division]
    for key, value in request.changes.items():
        parts += ["--set", f"{key}={value}"]
    if request.timeout_s is not None:
        parts += ["--timeout", f"{request.timeout_s:g}"]
    if request.memory_limit_bytes is not None:
        parts += ["--memory-limit", str(request.memory_limit_bytes)]
    if request.max_restarts:
        parts += ["--max-restarts", str(request.max_restarts)]
    if index is not None:
        parts += ["--seeds", str(index)]
    return tuple(parts)


def utc_now() -> str:
    """The wall clock in UTC to the millisecond, ISO 8601 ending in Z."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_run_id() -> str:
    """A run's name: UTC to the microsecond, then 24 random bits; sortable by time."""
    now_ns = time.time_ns()
    moment = datetime.fromtimestamp(now_ns // 10**9, UTC).strftime("%Y%m%d-%H%M%S")
    return f"{moment}-{now_ns % 10**9 // 1000:06d}-{secrets.token_hex(3)}"


def _boot_id(salt: str) -> str | None:
    try:
        boot = BOOT_ID_FILE.read_text().strip()
    except OSError:
        return None
    return sha256_bytes(f"{salt}{boot}".encode())[:16]
