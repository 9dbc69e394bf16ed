"""`oildrop list`: what can run here and why not, and everything settable of one benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from oildrop.suite.cli import options
from oildrop.suite.cli.lazy import PlainCommand, make_app
from oildrop.suite.cli.list_served import print_scenarios, repeat_hint
from oildrop.suite.cli.numbers import show_duration, show_number
from oildrop.suite.cli.output import print_document, print_table, screen

if TYPE_CHECKING:
    from oildrop.harness.backends import Availability
    from oildrop.rules.rulebook import Benchmark, Rulebook, Tier

app = make_app()


@app.command(name="list", cls=PlainCommand, epilog="Example: oildrop list lm-pretrain")
def list_command(
    benchmark: Annotated[
        str | None, typer.Argument(metavar="[BENCHMARK]", show_default=False, help="Show one benchmark's settings.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """What can run here, and why not by backend.

    With a BENCHMARK: its tiers, targets and caps, every settable key with its default in each tier, whether
    division closed locks it, what is allowed, and where its numbers come from.
    """
    from oildrop.rules.loading import load_rulebook
    from oildrop.rules.settings import find_benchmark

    rulebook = load_rulebook()
    if benchmark is None:
        document = _overview(rulebook)
        print_document(document) if as_json else _print_overview(document)
        return
    found = find_benchmark(rulebook, benchmark)
    if as_json:
        print_document(_benchmark_document(rulebook, found))
    else:
        _print_benchmark(found, _benchmark_document(rulebook, found))


def _overview(rulebook: Rulebook) -> dict[str, Any]:
    from oildrop.harness.backends import availabilities
    from oildrop.suite.servers import ELSEWHERE
    from oildrop.suite.suites import SUITES

    return {
        "schema": "oildrop.list/1",
        "rulebook": rulebook.version,
        "benchmarks": [
            {"name": entry.name, "title": entry.title, "kind": entry.kind, "tiers": list(entry.tiers)}
            for entry in rulebook.benchmarks.values()
        ],
        "suites": {name: [str(member) for member in members] for name, members in SUITES.items()},
        "backends": [*(_backend(answer) for answer in availabilities()), _backend(ELSEWHERE)],
        "divisions": list(rulebook.divisions),
    }


def _backend(answer: Availability) -> dict[str, Any]:
    return {
        "backend": answer.backend,
        "available": answer.available,
        "reason": answer.reason,
        "install": answer.install,
        "version": answer.version,
        "devices": list(answer.devices),
    }


def _print_overview(document: dict[str, Any]) -> None:
    console = screen()
    benchmarks = [(entry["name"], ", ".join(entry["tiers"]), entry["title"]) for entry in document["benchmarks"]]
    print_table(console, ("benchmark", "tiers", "what it does"), benchmarks)
    console.print()
    suites = [(name, ", ".join(members)) for name, members in document["suites"].items()]
    print_table(console, ("suite", "runs"), suites)
    console.print()
    print_table(console, ("backend", "here"), [(entry["backend"], _here(entry)) for entry in document["backends"]])
    console.print("\nOne benchmark's settings: oildrop list BENCHMARK. To run the suite: oildrop run")


def _here(entry: dict[str, Any]) -> str:
    from oildrop.suite.servers import ELSEWHERE

    if entry["backend"] == ELSEWHERE.backend:
        return "yes, of a server that is running: oildrop run lm-serve --endpoint URL"
    if entry["available"]:
        return f"yes ({', '.join([*entry['devices'], entry['version']])})"
    install = f"; install: {entry['install']}" if entry["install"] else ""
    return f"no: {entry['reason']}{install}"


def _benchmark_document(rulebook: Rulebook, benchmark: Benchmark) -> dict[str, Any]:
    return {
        "schema": "oildrop.benchmark-settings/1",
        "benchmark": benchmark.name,
        "title": benchmark.title,
        "summary": benchmark.summary,
        "benchmark_sha256": benchmark.sha256,
        "backends": _backends_of(benchmark),
        "quality": benchmark.quality,
        "tiers": {name: _tier(tier) for name, tier in benchmark.tiers.items()},
        "settings": _settings(benchmark),
        "references": [entry for entry in rulebook.references if entry.benchmark == benchmark.name],
        "sources": list(benchmark.sources),
    }


def _backends_of(benchmark: Benchmark) -> list[str]:
    """Those that it can run on, here or on another machine."""
    from oildrop.harness.backends import BACKENDS
    from oildrop.suite.servers import ELSEWHERE, TASK
    from oildrop.workloads.registry import framework_of, frameworks_of

    if benchmark.task == TASK:
        return [ELSEWHERE.backend]
    return [backend for backend in BACKENDS if framework_of(backend) in frameworks_of(benchmark.task)]


def _tier(tier: Tier) -> dict[str, Any]:
    fields = ("minimum_runs", "target", "steps", "cap_samples", "reference_time_s", "deadline_s", "provisional")
    return {"kind": tier.kind, **{name: getattr(tier, name) for name in fields}, "scenarios": tier.scenarios}


def _settings(benchmark: Benchmark) -> list[dict[str, Any]]:
    """Each settable key: default by tier, free or locked in division closed, allowed values."""
    from oildrop.rules.rulebook import settings_of

    by_tier = {name: settings_of(tier) for name, tier in benchmark.tiers.items()}
    keys = dict.fromkeys(key for settings in by_tier.values() for key in settings)
    return [
        {
            "key": key,
            "default": {name: settings[key] for name, settings in by_tier.items() if key in settings},
            "closed": "free" if benchmark.is_free_in_closed(key) else "locked",
            "allowed": benchmark.allowed.get(key),
        }
        for key in keys
    ]


def _print_benchmark(benchmark: Benchmark, document: dict[str, Any]) -> None:
    console = screen()
    console.print(f"{benchmark.name}: {benchmark.title}\n{benchmark.summary}\n")
    console.print(f"backends: {', '.join(document['backends'])}\n")
    rows = [(name, *_tier_cells(benchmark, tier)) for name, tier in benchmark.tiers.items()]
    print_table(console, ("tier", "aims at", "ends at the latest after", "runs"), rows, right="runs")
    print_scenarios(console, benchmark)
    for name, tier in benchmark.tiers.items():
        if tier.provisional:
            console.print(f"tier {name} is provisional and never ranked: {tier.provisional}")
    console.print()
    rows = [
        (
            entry["key"],
            _default_text(entry["default"], len(benchmark.tiers)),
            entry["closed"],
            _allowed_text(entry["allowed"]),
        )
        for entry in document["settings"]
    ]
    print_table(console, ("key", "default", "closed", "allowed"), rows)
    console.print("\nSources of the numbers:")
    for source in benchmark.sources:
        console.print(f"  {source.what}: {source.source} ({source.date})")
    for reference in document["references"]:
        console.print(
            f"  samples to target, tier {reference.tier}: {len(reference.seeds)} reference runs, "
            f"{reference.framework} {reference.dtype}, {reference.how} ({reference.measured})"
        )
    hint = repeat_hint(benchmark)
    console.print(f"\n{hint}" if hint else "", end="")
    console.print(f"\nTo change a key: oildrop run {benchmark.name} --set KEY=VALUE (a locked one: --division open)")


def _tier_cells(benchmark: Benchmark, tier: Tier) -> tuple[str, str, str]:
    sign = "≤" if benchmark.quality.better == "lower" else "≥"
    quality = f"{benchmark.quality.metric} {sign} {show_number(tier.target or 0)} {benchmark.quality.unit}"
    aim = quality if tier.target is not None else f"{tier.steps} steps" if tier.steps else "answers"
    if tier.calibration is not None:
        aim = "ceilings"
    if tier.scenarios and tier.target is not None:
        aim = f"answers with {quality}"
    cap = "" if tier.cap_samples is None else f"{show_number(tier.cap_samples)} samples, "
    return aim, f"{cap}{show_duration(tier.deadline_s)}", str(tier.minimum_runs)


def _default_text(default: dict[str, Any], tiers: int) -> str:
    """One value where all `tiers` agree, else each tier's own."""
    from oildrop.suite.cli.parsing import setting_text

    texts = {tier: setting_text(value) for tier, value in default.items()}
    if len(texts) == tiers and len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return ", ".join(f"{tier}: {text}" for tier, text in texts.items())


def _allowed_text(allowed: Any) -> str:
    from oildrop.suite.cli.parsing import setting_text

    if allowed is None:
        return "any of its type"
    if isinstance(allowed, tuple):
        return ", ".join(setting_text(value) or "empty" for value in allowed)
    return f"{allowed.min:.16g} to {allowed.max:.16g}"
