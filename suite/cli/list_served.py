"""Scenarios of a benchmark's tiers on the screen, with the terms that a run is held to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oildrop.rules.bounds_text import bounds_text
from oildrop.suite.cli.numbers import show_duration, show_number
from oildrop.suite.cli.output import print_table

if TYPE_CHECKING:
    from rich.console import Console

    from oildrop.rules.rulebook import Benchmark
    from oildrop.rules.rulebook_parts import Terms


def print_scenarios(console: Console, benchmark: Benchmark) -> None:
    """Each scenario of each tier; nothing for a benchmark that trains."""
    rows = [
        (tier_name, name, *_cells(terms))
        for tier_name, tier in benchmark.tiers.items()
        for name, terms in tier.scenarios.items()
    ]
    if not rows:
        return
    console.print()
    print_table(console, ("tier", "scenario", "lasts at least", "bounds", "rate"), rows)


def _cells(terms: Terms) -> tuple[str, str, str]:
    each = f" of {terms.samples_per_query} requests" if terms.samples_per_query > 1 else ""
    least = f"{show_duration(terms.minimum_s)} and {show_number(terms.minimum_queries)} queries{each}"
    bounds = bounds_text(terms.bounds)
    held = f"{show_number(100 * terms.percentile)} % within {bounds}" if bounds else "none"
    first = terms.first_rate_per_s
    return least, held, "none" if first is None else f"--rate, else searched from {show_number(first)}/s"


def repeat_hint(benchmark: Benchmark) -> str | None:
    """How a scenario is chosen; None for a benchmark that trains."""
    if benchmark.kind != "serve":
        return None
    return f"To choose a scenario: oildrop run {benchmark.name} --scenario offline"
