"""From what was asked for to the configurations that are to be run: names, settings, terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from oildrop.harness.ranks.launch import devices_of
from oildrop.rules.errors import UsageError
from oildrop.rules.records import Scalar
from oildrop.rules.reference import batch_in, batch_key
from oildrop.rules.rulebook import Benchmark, Rulebook
from oildrop.rules.rulebook_parts import Terms
from oildrop.rules.settings import Resolved, find_benchmark, nearest, resolve
from oildrop.suite.asked import require_served, served_changes, terms_of
from oildrop.suite.request import RunRequest
from oildrop.suite.suites import SUITES, Entry
from oildrop.workloads.registry import require_possible

DEFAULT_TIER = "nano"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One configuration that was asked for."""

    benchmark: Benchmark
    changes: Mapping[str, str]
    resolved: Resolved
    terms: Terms | None


def all_wanted(request: RunRequest, entries: Sequence[Entry], rulebook: Rulebook) -> list[Wanted]:
    """Every configuration of the entries that was asked for. Raises UsageError for what cannot be run."""
    return [one for entry in entries for one in _wanted(request, entry, find_benchmark(rulebook, entry.benchmark))]


def entries_of(request: RunRequest, rulebook: Rulebook) -> tuple[Entry, ...]:
    """The benchmarks that were named, else those of the suite that have the tier. Raises UsageError."""
    if request.benchmarks and request.suite:
        raise UsageError(f"give benchmarks or --suite {request.suite}, not both")
    if request.benchmarks:
        return tuple(Entry(name) for name in dict.fromkeys(request.benchmarks))
    suite = request.suite or "default"
    if suite not in SUITES:
        raise UsageError(f"unknown suite {suite!r}{nearest(suite, list(SUITES))}")
    if request.scenario or request.rate_per_s or request.concurrency:
        raise UsageError(
            f"suite {suite} says how requests arrive; --scenario, --rate and --concurrency need a BENCHMARK, "
            "as oildrop run lm-generate --scenario offline"
        )
    return _of_tier(SUITES[suite], request.tier or DEFAULT_TIER, rulebook) or SUITES[suite]


def _of_tier(entries: Sequence[Entry], tier: str, rulebook: Rulebook) -> tuple[Entry, ...]:
    """Those of a suite's benchmarks that have the tier."""
    return tuple(entry for entry in entries if tier in rulebook.benchmarks[entry.benchmark].tiers)


def _wanted(request: RunRequest, entry: Entry, benchmark: Benchmark) -> list[Wanted]:
    """The configurations of one benchmark that were asked for: of each variant one, or one for each concurrency."""
    return [
        _one_wanted(request, benchmark, changes)
        for variant in request.variants
        for changes in served_changes(
            benchmark,
            {**request.changes, **variant},
            scenario=entry.scenario or request.scenario,
            rate_per_s=request.rate_per_s,
            concurrency=request.concurrency,
        )
    ]


def _one_wanted(request: RunRequest, benchmark: Benchmark, changes: Mapping[str, str]) -> Wanted:
    tier = request.tier or DEFAULT_TIER
    resolved = resolve(benchmark, tier, request.division, dict(changes))
    require_even_shares(resolved.settings)
    terms = terms_of(benchmark, tier, resolved.settings)
    if benchmark.tiers[tier].schedule is None:
        _refuse_untrained(benchmark.name, {"--keep-weights": request.keep_weights})
    if benchmark.tiers[tier].calibration is not None:
        _refuse_untrained(benchmark.name, {"--max-restarts": request.max_restarts})
    if terms is not None:
        rate_per_s, restarts = request.rate_per_s, request.max_restarts
        require_served(benchmark.tiers[tier], terms, resolved, rate_per_s=rate_per_s, max_restarts=restarts)
    require_possible(benchmark.task, resolved.settings)
    return Wanted(benchmark=benchmark, changes=changes, resolved=resolved, terms=terms)


def _refuse_untrained(name: str, asked: Mapping[str, object]) -> None:
    """Raises UsageError for what only benchmarks that train can do."""
    for option, value in asked.items():
        if value:
            raise UsageError(f"{option} is for benchmarks that train; {name} trains nothing: leave it out")


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
