"""The method page: the rulebook as prose and tables, so that page and rulebook cannot part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oildrop.rules.catalogue import CATALOGUE
from oildrop.rules.outcomes import MEANINGS
from oildrop.rules.rulebook import Benchmark, Reference, Rulebook, Tier
from oildrop.rules.rulebook_parts import Range, Schedule
from oildrop.rules.statistics import PROVISIONAL_RUNS, RANKED_RUNS
from oildrop.site.pages.addresses import slug
from oildrop.site.pages.context import Site
from oildrop.site.pages.csvs import Cell
from oildrop.site.pages.formats import number, scalar_text
from oildrop.site.pages.method_served import TERMS_HEADER, gates_text, scenario_rows, terms_rows

_SCENARIO_HEADER = ("Scenario", "Headline metric", "Ranked", "How the clock meets the task")
_TIME_COUNTS = {
    "exact": "its time",
    "censored": "longer than its cap",
    "infinite": "never reached the target",
    "none": "not counted",
}


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of texts as a template takes it; `csv` is its file beside the page."""

    key: str
    caption: str
    csv: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class BenchmarkView:
    """One benchmark's part of the page.

    Attributes:
        gates: What is compared with the reference before the clock; None where nothing is.
        provisional: Each provisional tier with the reason.
    """

    benchmark: Benchmark
    tables: list[Table]
    references: list[Reference]
    gates: str | None
    provisional: list[tuple[str, str]]


def write_method(site: Site) -> None:
    """Write `method.html` and a CSV file for each of its tables."""
    rulebook = site.rulebook
    benchmarks = [_benchmark_view(rulebook, benchmark) for benchmark in rulebook.benchmarks.values()]
    tables = {
        "scenarios": _table("scenarios", "Scenarios", _SCENARIO_HEADER, scenario_rows(rulebook)),
        "rules": _rules(rulebook),
        "metrics": _metrics(),
        "outcomes": _outcomes(),
        "devices": _devices(rulebook),
    }
    for table in [*tables.values(), *(table for view in benchmarks for table in view.tables)]:
        rows: Sequence[Sequence[Cell]] = table.rows
        site.csv(table.csv, table.header, rows)
    values = {
        "rulebook": rulebook,
        "benchmarks": benchmarks,
        "tables_by_name": tables,
        "provisional": PROVISIONAL_RUNS,
        "ranked": RANKED_RUNS,
    }
    site.page("method.html", "method.html.j2", values)


def _table(key: str, caption: str, header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    return Table(key=key, caption=caption, csv=f"method-{key}.csv", header=header, rows=rows)


def _rules(rulebook: Rulebook) -> Table:
    rows = [(rule.id, rule.title, rule.text, rule.why, rule.severity) for rule in rulebook.rules.values()]
    return _table("rules", "Rules that the judge checks", ("Rule", "Title", "What it asks", "Why", "Severity"), rows)


def _metrics() -> Table:
    rows = [
        (meaning.label, name, meaning.unit, meaning.better or "neither", meaning.text)
        for name, meaning in CATALOGUE.items()
    ]
    return _table("metrics", "What each metric means", ("Metric", "Name", "Unit", "Better", "Meaning"), rows)


def _outcomes() -> Table:
    rows = [(f"{m.mark} {name}", m.text, _TIME_COUNTS[m.time]) for name, m in MEANINGS.items()]
    return _table("outcomes", "How a run can end", ("Outcome", "What happened", "Its time to target counts as"), rows)


def _devices(rulebook: Rulebook) -> Table:
    rows = [
        (
            part.name,
            ", ".join(f"{dtype} {number(peak / 1e12)}" for dtype, peak in part.peak_flop_per_s.items())
            or "none listed",
            _optional(part.bandwidth_bytes_per_s, 1e9),
            _optional(part.tdp_w, 1.0),
            part.source,
            part.date,
        )
        for part in rulebook.devices
    ]
    header = ("Part", "Dense peak (TFLOP/s)", "Bandwidth (GB/s)", "TDP (W)", "Source", "Date")
    return _table("devices", "Peaks that utilization is measured against", header, rows)


def _optional(value: float | None, scale: float) -> str:
    return "not listed" if value is None else number(value / scale)


def _benchmark_view(rulebook: Rulebook, benchmark: Benchmark) -> BenchmarkView:
    name = benchmark.name
    tiers = [_tier_row(benchmark, tier_name, tier) for tier_name, tier in benchmark.tiers.items()]
    tier_header = (
        "Tier", "Goal", "Cap (samples)", "Evaluations", "Runs at least", "Reference time (s)", "Deadline (s)",
        "Set-up at most (s)",
    )  # fmt: skip
    references = [reference for reference in rulebook.references if reference.benchmark == name]
    tables = [
        _table(f"{slug(name)}-tiers", f"Tiers of {name}", tier_header, tiers),
        _table(f"{slug(name)}-scenarios", f"Scenarios of {name} by tier", TERMS_HEADER, terms_rows(benchmark)),
        _settings(benchmark),
        _table(
            f"{slug(name)}-sources",
            f"Where the numbers of {name} come from",
            ("Number", "Source", "Date"),
            [(source.what, source.source, source.date) for source in benchmark.sources],
        ),
        *[_reference(reference) for reference in references],
    ]
    return BenchmarkView(
        benchmark=benchmark,
        tables=[table for table in tables if table.rows],
        references=references,
        gates=gates_text(benchmark),
        provisional=[(tier_name, tier.provisional) for tier_name, tier in benchmark.tiers.items() if tier.provisional],
    )


def _evaluations(schedule: Schedule) -> str:
    early = f"every {schedule.early_every} before {schedule.first}, then " if schedule.early_every else ""
    from_ = f" from {schedule.first} on" if schedule.first and not early else ""
    return f"{early}every {schedule.every} samples{from_}"


def _tier_row(benchmark: Benchmark, name: str, tier: Tier) -> tuple[str, ...]:
    sign = "≤" if benchmark.quality.better == "lower" else "≥"
    goal = f"{sign} {tier.target:g} {benchmark.quality.unit}" if tier.target is not None else "none"
    if tier.steps is not None:
        goal = f"{tier.steps} steps"
    return (
        name,
        goal,
        "none" if tier.cap_samples is None else str(tier.cap_samples),
        "none" if tier.schedule is None else _evaluations(tier.schedule),
        str(tier.minimum_runs),
        "none" if tier.reference_time_s is None else number(tier.reference_time_s),
        number(tier.deadline_s),
        number(tier.init_limit_s),
    )


def _settings(benchmark: Benchmark) -> Table:
    """Every setting with its value at each tier, whether closed frees it, and what may be chosen."""
    keys = sorted({key for tier in benchmark.tiers.values() for key in tier.settings})
    rows = [
        (
            key,
            *(scalar_text(tier.settings[key]) if key in tier.settings else "none" for tier in benchmark.tiers.values()),
            "free" if benchmark.is_free_in_closed(key) else "locked",
            _allowed(benchmark.allowed.get(key)),
        )
        for key in keys
    ]
    header = ("Setting", *benchmark.tiers, "In closed", "Allowed")
    return _table(f"{slug(benchmark.name)}-settings", f"Settings of {benchmark.name} by tier", header, rows)


def _allowed(bounds: tuple[object, ...] | Range | None) -> str:
    if bounds is None:
        return "anything of its type"
    if isinstance(bounds, Range):
        return f"{bounds.min:g} to {bounds.max:g}"
    return ", ".join(scalar_text(choice) for choice in bounds)


def _reference(reference: Reference) -> Table:
    rows = [
        (str(seed), number(samples, 6))
        for seed, samples in zip(reference.seeds, reference.samples_to_target, strict=True)
    ]
    key = f"{slug(reference.benchmark)}-{slug(reference.tier)}-reference"
    caption = f"Reference runs of {reference.benchmark} {reference.tier}, {reference.framework}, {reference.dtype}"
    return _table(key, caption, ("Seed", "Samples to target"), rows)
