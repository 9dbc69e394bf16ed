"""The `oildrop.runs/1` document: runs with their metrics and findings, and what they say together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from oildrop.results.layout import StoreLayout
from oildrop.results.rows import RunRow
from oildrop.rules.canonical import json_number
from oildrop.rules.headline import headline_of
from oildrop.rules.loading import load_rulebook
from oildrop.rules.meter_words import REPLAYED
from oildrop.rules.records import RunSpec
from oildrop.rules.served import FAILED_REQUESTS
from oildrop.rules.set_runs import SetRun
from oildrop.rules.summary import summarise
from oildrop.rules.tracks import track_of

SCHEMA = "oildrop.runs/1"

FROM_SPEC = (
    "benchmark", "tier", "backend", "division", "kind", "seed", "seed_index", "workload_id", "system_id", "software_id",
)  # fmt: skip

SUMMARY_FIELDS = (
    "benchmark", "tier", "backend", "division", "workload_id", "runs", "ok", "metric", "estimate", "ci95_low",
    "ci95_high",
)  # fmt: skip


def runs_document(layout: StoreLayout, rows: Sequence[RunRow]) -> dict[str, Any]:
    """The document of `rows`, each run once; NaN and infinities are strings, as JSON has none."""
    unique = list({row.run_id: row for row in rows}.values())
    summaries = [summary.model_dump(mode="json") for summary in summarise(set_runs(unique))]
    return {
        "schema": SCHEMA,
        "store": str(layout.root),
        "runs": [_run(row) for row in unique],
        "summary": [_first(summary, SUMMARY_FIELDS) for summary in summaries],
    }


def set_runs(rows: Iterable[RunRow]) -> list[SetRun]:
    """What a summary needs of `rows`."""
    return [_set_run(row) for row in rows]


def _set_run(row: RunRow) -> SetRun:
    spec = row.spec
    energy = row.headlines.get("energy_attempt_j")
    headline = row.headlines.get(headline_of(spec.kind, spec.scenario) or "")
    return SetRun(
        benchmark=spec.benchmark,
        tier=spec.tier,
        backend=spec.backend,
        division=spec.division,
        workload_id=spec.workload_id,
        system_id=spec.system_id,
        software_id=spec.software_id,
        set_id=spec.set_id,
        outcome=row.outcome,
        seeds_chosen=spec.seeds_chosen,
        kind=spec.kind,
        value=headline.value if headline else None,
        elapsed_s=row.elapsed_s,
        provisional=_why_provisional(spec.benchmark, spec.tier),
        scenario=spec.scenario,
        unranked=_why_unranked(row),
        rate_per_s=rate_given(spec),
        censored_s=_censored_s(row),
        seed=spec.seed,
        session_id=spec.session_id,
        track=track_of(spec),
        energy_j=energy.value if energy else None,
        energy_scope=energy.scope if energy and energy.value is not None else None,
    )


def _censored_s(row: RunRow) -> float | None:
    """From run_start to the end of a run that used up its samples, its teardown included, seconds."""
    setup = row.headlines.get("setup_s")
    if row.outcome != "target_missed" or row.elapsed_s is None or setup is None or setup.value is None:
        return None
    return row.elapsed_s - setup.value


def rate_given(spec: RunSpec) -> float | None:
    """The rate that somebody gave, queries a second: a configuration of its own. None where it was searched for."""
    searched = spec.kind == "probe" or spec.parent_run_id is not None
    return None if searched else spec.rate_per_s


def _why_unranked(row: RunRow) -> str | None:
    """What a run did, or chose to serve, that never has a place beside others'."""
    spec = row.spec
    if any(finding.rule == REPLAYED for finding in row.judgement.findings):
        return "a recorded trace stood for a meter (R067), and such runs are never ranked"
    if row.outcome == "ok" and any(finding.rule == FAILED_REQUESTS for finding in row.judgement.findings):
        return f"{row.judgement.reason}: a run whose requests failed in part is never ranked"
    if spec.settings.get("weights.source") == "random":
        return "random weights are served for speed alone and never ranked"
    if spec.settings.get("requests.prompts") == "repeated":
        return "repeated prompts may be answered from a cache and are never ranked"
    if rate_given(spec) is not None:
        return "a rate that was given, and not searched for, is never ranked"
    return None


def _why_provisional(benchmark: str, tier: str) -> str | None:
    """What this release's rulebook says of the tier; None of one that it does not know."""
    known = load_rulebook().benchmarks.get(benchmark)
    return known.tiers[tier].provisional if known and tier in known.tiers else None


def _run(row: RunRow) -> dict[str, Any]:
    judgement = row.judgement
    return {
        "run_id": row.run_id,
        **{name: getattr(row.spec, name) for name in FROM_SPEC},
        "outcome": judgement.outcome,
        "reason": judgement.reason,
        "metrics": [_plain(metric.model_dump()) for metric in judgement.metrics],
        "findings": [_plain(finding.model_dump()) for finding in judgement.findings],
        "scenario": row.spec.scenario,
        "rate_per_s": row.spec.rate_per_s,
    }


def _first(summary: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """`summary` with the contract's fields first; what else it tells follows."""
    return {name: summary[name] for name in names} | summary


def _plain(value: Any) -> Any:
    """`value` with floats that JSON cannot hold as strings."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return json_number(value) if isinstance(value, float) and not math.isfinite(value) else value
