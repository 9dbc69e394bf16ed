"""What the method page says of served models: scenarios, their terms, and how gates are asked."""

from __future__ import annotations

from oildrop.rules.bounds_text import bounds_text
from oildrop.rules.rulebook import Benchmark, Rulebook
from oildrop.rules.rulebook_parts import Gates, Terms
from oildrop.site.pages import labels
from oildrop.site.pages.formats import count_text

TERMS_HEADER = (
    "Tier", "Scenario", "Lasts at least (s)", "Queries at least", "Requests a query", "Share that must hold", "Bounds",
    "Search begins at (queries/s)",
)  # fmt: skip


def terms_rows(benchmark: Benchmark) -> list[tuple[str, ...]]:
    """Each scenario of each tier with its terms; none for a benchmark that trains."""
    return [
        (tier_name, name, *_terms_cells(terms))
        for tier_name, tier in benchmark.tiers.items()
        for name, terms in tier.scenarios.items()
    ]


def _terms_cells(terms: Terms) -> tuple[str, ...]:
    bounds = bounds_text(terms.bounds)
    return (
        f"{terms.minimum_s:g}",
        str(terms.minimum_queries),
        str(terms.samples_per_query),
        f"{100 * terms.percentile:g} %" if bounds else "none",
        bounds or "none",
        "none" if terms.first_rate_per_s is None else f"{terms.first_rate_per_s:g}",
    )


def scenario_rows(rulebook: Rulebook) -> list[tuple[str, ...]]:
    """Each scenario in words, with the metric that speaks for it."""
    return [
        (scenario.title, labels.metric_label(scenario.metric), "yes" if scenario.ranked else "never", scenario.text)
        for scenario in rulebook.scenarios.values()
    ]


def gates_text(benchmark: Benchmark) -> str | None:
    """What is compared with the reference before the clock, and how near it has to come; None where nothing is."""
    gates = benchmark.gates
    if gates is None:
        return None
    what = _gates_served(gates) if benchmark.kind == "serve" else _gates_trained(gates)
    limits = "; ".join(
        f"in {dtype} {', '.join(f'{gate} {limit}' for gate, limit in of.items())}" for dtype, of in gates.limits.items()
    )
    return (
        f"before the clock starts, on weights and data of seed {gates.seed}: {what}, against a float64 reference. "
        f"Largest relative differences: {limits}"
    )


def _gates_trained(gates: Gates) -> str:
    return (
        f"losses of a training batch and of {gates.documents} held-out items, the gradient of each tensor, and "
        f"{count_text(gates.steps, 'optimizer step')}"
    )


def _gates_served(gates: Gates) -> str:
    return f"answers to {count_text(gates.documents, 'item')}, in {count_text(gates.steps, 'step')} where they have any"
