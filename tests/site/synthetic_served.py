"""Served runs made up for tests of the page: a search with its probes, one stream, and runs with failed requests."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from oildrop.results.rows import RunRow
from oildrop.rules.catalogue import CATALOGUE, metrics_of
from oildrop.rules.digest import RunDigest
from oildrop.rules.digest_served import Distribution, ServedDigest, quantiles
from oildrop.rules.loading import load_rulebook
from oildrop.rules.phases import PhaseSpan
from oildrop.rules.records import Judgement, Limits, Metric, RunSpec
from oildrop.rules.rulebook import Rulebook
from oildrop.rules.rulebook_parts import Bounds
from oildrop.rules.system import System

GENERATE = load_rulebook().benchmarks["lm-generate"]
SCENARIOS = load_rulebook().scenarios
TTFT_BOUND_S, TPOT_BOUND_S = 0.2, 0.05
NO_METER = "no meter of this machine answers: no RAPL domain is readable and no accelerator was found"
FAILED = "it falls on a request that failed"


def with_served(rulebook: Rulebook) -> Rulebook:
    """A made-up rulebook with the real benchmark that generates text, and the real scenarios."""
    return replace(rulebook, benchmarks={**rulebook.benchmarks, GENERATE.name: GENERATE}, scenarios=SCENARIOS)


def served_row(
    run_id: str,
    machine: System,
    *,
    scenario: str = "single-stream",
    rate_per_s: float | None = None,
    kind: str = "serve",
    parent: str | None = None,
    outcome: str = "ok",
    reason: str | None = None,
    failures: dict[str, int] | None = None,
    seed_index: int = 0,
    scale: float = 1.0,
) -> RunRow:
    """One served run whose times are `scale` times those of every other."""
    settings = {**GENERATE.tiers["nano"].settings, "scenario.name": scenario}
    changed: dict[str, Any] = {} if scenario == "single-stream" else {"scenario.name": ("single-stream", scenario)}
    spec = RunSpec(
        run_id=run_id, created_utc="2026-11-23T09:00:00.250000Z", benchmark="lm-generate",
        benchmark_sha256=GENERATE.sha256, tier="nano", division="closed", backend="torch-cpu", kind=kind,  # type: ignore[arg-type]
        settings=settings, changed=changed, seed=2000 + seed_index, seed_index=seed_index,
        limits=Limits(deadline_s=300, heartbeat_s=15, stall_s=60), workload_id=f"served-{scenario}",
        system_id=machine.system_id(), software_id="software", set_id=f"set-{scenario}", session_id="session",
        parent_run_id=parent, rate_per_s=rate_per_s, oildrop_version="0.1.0",
        command=("oildrop", "run", "lm-generate", "--scenario", scenario),
    )  # fmt: skip
    failures = failures or {}
    judgement = Judgement(
        run_id=run_id, outcome=outcome, reason=reason, metrics=_metrics(spec, sum(failures.values()), scale),
        findings=(), judge_version="1", tables_sha256="tables",
    )  # fmt: skip
    return RunRow(
        spec=spec, system=machine, judgement=judgement, digest=_digest(scenario, failures, scale), elapsed_s=14.0,
        sealed=True, bundle_id="e" * 64,
    )  # fmt: skip


def _metrics(spec: RunSpec, failed: int, scale: float) -> tuple[Metric, ...]:
    times = {"latency_s": 0.11, "ttft_s": 0.021, "tpot_s": 0.0042, "itl_s": 0.0041}
    factors = {"": 1.1, "_p50": 1.0, "_p90": 1.3, "_p99": 1.7}
    values: dict[str, float] = {
        name + ending: base * factor * scale for name, base in times.items() for ending, factor in factors.items()
    }
    values |= {"requests_per_s": spec.rate_per_s or 9.1, "output_tokens_per_s": 20 * (spec.rate_per_s or 9.1),
               "error_fraction": failed / 200, "memory_peak_bytes": 6e8}  # fmt: skip
    if failed:
        values = {name: value for name, value in values.items() if not name.endswith("_p99")}
    return tuple(_metric(name, values.get(name)) for name in metrics_of("serve"))


def _metric(name: str, value: float | None) -> Metric:
    reason = FAILED if name.endswith("_p99") else NO_METER
    return Metric(
        name=name, value=value, unit=CATALOGUE[name].unit, status="not_measured" if value is None else "derived",
        reason=reason if value is None else None, formula=f"{name.removesuffix('_s')}/1", scope="run",
    )  # fmt: skip


def _digest(scenario: str, failures: dict[str, int], scale: float) -> RunDigest:
    arrivals = scenario in ("server", "interactive")
    latencies = [scale * (0.1 + 0.03 * math.sin(k) + 0.0002 * k) for k in range(200)]
    spread = [*latencies[: 200 - sum(failures.values())], *[math.inf] * sum(failures.values())]
    served = ServedDigest(
        requests=200,
        failures=failures,
        stopped_by="minimum",
        bounds=Bounds(ttft_s=TTFT_BOUND_S, tpot_s=TPOT_BOUND_S) if arrivals else Bounds(),
        percentile=0.99,
        distributions=(
            Distribution(name="latency_s", values_s=quantiles(spread)),
            Distribution(name="ttft_s", values_s=quantiles([value / 5 for value in spread])),
        ),
        slowest_at_s=() if scenario == "offline" else tuple(0.05 * k for k in range(200)),
        slowest_s=() if scenario == "offline" else tuple(latencies),
        failed_at_s=(4.2,) if failures else (),
    )
    spans = (("init", 0, 3), ("serve", 3, 13), ("eval", 13, 14))
    return RunDigest(
        phases=tuple(PhaseSpan(name=name, start_ns=a * 10**9, stop_ns=b * 10**9) for name, a, b in spans),
        target=0.5,
        served=served,
    )


def search_rows(machine: System) -> list[RunRow]:
    """A search with two rates that held, two that did not, and the run at the higher of the former."""
    first = "20261123-090000-aaaa"
    missed = "93.00% of 200 were answered within 200 ms to the first token, 50 ms a token; 99.0% must be"
    of_search: dict[str, Any] = {"scenario": "server"}
    return [
        served_row(first, machine, **of_search, kind="probe", rate_per_s=20.0),
        served_row("20261123-090020-bbbb", machine, **of_search, kind="probe", rate_per_s=80.0, parent=first, scale=2),
        served_row("20261123-090040-cccc", machine, **of_search, kind="probe", rate_per_s=320.0, parent=first,
                   scale=20, outcome="target_missed", reason=missed, seed_index=1),
        served_row("20261123-090060-dddd", machine, **of_search, kind="probe", rate_per_s=160.0, parent=first,
                   outcome="target_missed", reason="2 of 200 requests failed: 2 unfinished",
                   failures={"unfinished": 2}, seed_index=2),
        served_row("20261123-090080-eeee", machine, **of_search, rate_per_s=80.0, parent=first, scale=2.1),
    ]  # fmt: skip


def served_rows(machine: System) -> list[RunRow]:
    """A small store of served runs, newest first."""
    rows = [
        served_row("20261123-080000-aaaa", machine),
        served_row("20261123-080020-bbbb", machine, scenario="offline"),
        served_row("20261123-080040-cccc", machine, scenario="concurrency", failures={"http_500": 2, "cut": 1},
                   reason="3 of 200 requests failed: 2 http_500, 1 cut"),
        *search_rows(machine),
    ]  # fmt: skip
    return rows[::-1]
