"""From what was asked for to complete run specs; touches no device and writes nothing."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

from oildrop.harness.backends import BACKENDS, Availability, availability, choose_backend
from oildrop.harness.endpoint.environment import BACKEND as ENDPOINT
from oildrop.harness.prefill_elsewhere import way_of
from oildrop.harness.ranks.launch import ranks_of
from oildrop.harness.system.probe import probe_system
from oildrop.results.identity import store_identity
from oildrop.results.layout import StoreLayout
from oildrop.rules.errors import UsageError
from oildrop.rules.identity import rulebook_seed, set_id, workload_id
from oildrop.rules.loading import load_rulebook
from oildrop.rules.records import Limits, Process, RunSpec
from oildrop.rules.rulebook import Rulebook
from oildrop.rules.rulebook_parts import Terms
from oildrop.rules.settings import find_benchmark, nearest
from oildrop.rules.system import System
from oildrop.suite.naming import boot_id, new_run_id, repeat_command, utc_now
from oildrop.suite.private import host_redactor, redact_system
from oildrop.suite.request import RunRequest
from oildrop.suite.search import Search, search_of
from oildrop.suite.seeds import next_seed_indices
from oildrop.suite.servers import Server, meet_server, require_server, server_changes
from oildrop.suite.wanted import DEFAULT_TIER, Wanted, all_wanted, entries_of


@dataclass(frozen=True, kw_only=True)
class PlannedSet:
    """The runs of one configuration, ready to start.

    Attributes:
        system: The machine as probed once for the whole plan.
        unsupported_reason: Why the backend cannot run here; such a set holds one run, recorded as `unsupported`.
        backend_why: Why this backend was picked.
        keep_weights: Folder that gets each run's trained weights; None keeps none.
        expected_s: Reference time of one run in seconds; None for fixed work.
        search: How the rate of the runs is found; None where nothing is searched, then `specs` are the runs.
        environment: Variables that the runs' workers get and no bundle holds.
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
    keep_weights: Path | None = None
    search: Search | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


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
    server: Server | None


def plan(request: RunRequest, layout: StoreLayout, *, create: bool = False) -> list[PlannedSet]:
    """Complete specs of every run asked for, a set a benchmark.

    With `create` a new store gets its identity; without it nothing is written, and the ids that depend on a new
    store's identity hold for this plan alone.

    Raises:
        UsageError: An unknown name, a locked or ill-valued setting, a number out of range.
    """
    rulebook = load_rulebook()
    entries = entries_of(request, rulebook)
    if request.division not in rulebook.divisions:
        raise UsageError(f"unknown division {request.division!r}{nearest(request.division, list(rulebook.divisions))}")
    if request.backend != ENDPOINT:
        _require_known(request.backend)
    require_server([find_benchmark(rulebook, entry.benchmark) for entry in entries], request.server, request.backend)
    request = replace(request, changes={**request.changes, **server_changes(request.server)})
    wanted = all_wanted(request, entries, rulebook)
    if any(one.resolved.settings.get("execution.prefill_machine") == "other" for one in wanted):
        way_of(os.environ)
    redact = host_redactor()
    identity = store_identity(layout, create=create)
    system = redact_system(probe_system(identity.salt), redact)
    server = None
    if request.server is not None:
        server = meet_server(request.server, request.changes, salt=identity.salt, redact=redact)
        request = replace(request, changes={**request.changes, **server.changes})
        wanted = all_wanted(request, entries, rulebook)
        system = system.model_copy(update={"declared": server.declared})
    backend, why = _backend(request, server)
    host = _Host(
        request=request,
        rulebook=rulebook,
        layout=layout,
        system=system,
        store_id=identity.store_id,
        session_id=secrets.token_hex(8),
        boot_id=boot_id(identity.salt),
        note=None if request.note is None else redact(request.note),
        backend=backend,
        backend_why=why,
        server=server,
    )
    return [_planned_set(host, one) for one in wanted]


def _backend(request: RunRequest, server: Server | None) -> tuple[str, str]:
    """The backend, and why this one."""
    if server is not None:
        return ENDPOINT, f"the server at {server.address.shown}"
    return backend_named(request.backend)


def backend_named(name: str) -> tuple[str, str]:
    """The backend that `name` stands for, which may be `auto`, and why this one. Raises UsageError for no backend."""
    _require_known(name)
    return (name, "asked for") if name != "auto" else choose_backend()


def _require_known(name: str) -> None:
    if name not in ("auto", *BACKENDS):
        raise UsageError(f"unknown backend {name!r}{nearest(name, ['auto', *BACKENDS])}")


def _planned_set(host: _Host, wanted: Wanted) -> PlannedSet:
    request = host.request
    tier_name = request.tier or DEFAULT_TIER
    found = _availability(host)
    specs = _specs(host, wanted, tier_name, available=found.available)
    return PlannedSet(
        benchmark=wanted.benchmark.name,
        tier=tier_name,
        backend=host.backend,
        division=request.division,
        specs=specs,
        system=host.system,
        unsupported_reason=None if found.available else "; ".join(filter(None, (found.reason, found.install))),
        backend_why=host.backend_why,
        expected_s=wanted.benchmark.tiers[tier_name].reference_time_s,
        keep_weights=request.keep_weights,
        search=_search(request, wanted.terms, specs) if found.available else None,
        environment={} if host.server is None else host.server.environment,
    )


def _specs(host: _Host, wanted: Wanted, tier_name: str, *, available: bool) -> tuple[RunSpec, ...]:
    """The runs of one configuration; where it is not `available` the one that says so."""
    request, benchmark, resolved = host.request, wanted.benchmark, wanted.resolved
    tier = benchmark.tiers[tier_name]
    workload = workload_id(benchmark.sha256, tier_name, request.division, resolved.settings)
    of_set = set_id(host.store_id, host.backend, workload, host.system.system_id(), host.system.software_id())
    indices: Sequence[int | None] = (None,)
    if available and request.seeds is not None:
        indices = request.seeds
    elif available:
        indices = next_seed_indices(host.layout, of_set, tier.kind, request.runs or tier.minimum_runs)
    return tuple(
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
            seeds_chosen=request.seeds is not None,
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
            rate_per_s=request.rate_per_s,
            command=repeat_command(request, wanted.changes, benchmark.name, tier_name, host.backend, index),
            oildrop_version=version("oildrop"),
        )
        for index in indices
    )


def _availability(host: _Host) -> Availability:
    """Whether the runs can be made: on this machine, or by the server that was asked for."""
    if host.server is None:
        return availability(host.backend)
    return Availability(backend=ENDPOINT, available=host.server.reason is None, reason=host.server.reason)


def _search(request: RunRequest, terms: Terms | None, specs: Sequence[RunSpec]) -> Search | None:
    """How the rate is found in a scenario with arrivals; None where there are none or the rate is given."""
    if terms is None or terms.first_rate_per_s is None or request.rate_per_s is not None:
        return None
    return search_of(terms, terms.first_rate_per_s, finals=len(specs), deadline_s=specs[0].limits.deadline_s)
