"""What the runs of a board have to reach, in words."""

from __future__ import annotations

from oildrop.rules.bounds_text import bounds_text
from oildrop.rules.rulebook import Benchmark, Rulebook, Tier
from oildrop.rules.rulebook_parts import Terms
from oildrop.site.pages.boards import Board
from oildrop.site.pages.formats import count_text


def goal_text(rulebook: Rulebook, board: Board) -> str:
    """What a run has to reach, in words."""
    benchmark = rulebook.benchmarks.get(board.benchmark)
    tier = benchmark.tiers.get(board.tier) if benchmark else None
    terms = tier.scenarios.get(board.scenario or "") if tier else None
    if benchmark is None or tier is None or (board.scenario and terms is None):
        return "The goal stands in the rulebook that each run carries in its bundle."
    if terms is not None:
        return _served_goal(benchmark, tier, terms)
    if tier.target is None:
        return f"Fixed work: {count_text(tier.steps or 0, 'step')}; never ranked."
    return f"Goal: {_quality(benchmark, tier.target)}, within {count_text(tier.cap_samples or 0, 'training sample')}."


def _served_goal(benchmark: Benchmark, tier: Tier, terms: Terms) -> str:
    least = f"At least {terms.minimum_s:g} s and {count_text(terms.minimum_queries, 'query', 'queries')}"
    bounds = bounds_text(terms.bounds)
    held = f"{100 * terms.percentile:g} % of answers within {bounds}" if bounds else "no bound on an answer"
    quality = "" if tier.target is None else f"; answers with {_quality(benchmark, tier.target)}"
    return f"{least}, {held}{quality}."


def _quality(benchmark: Benchmark, target: float) -> str:
    sign = "≤" if benchmark.quality.better == "lower" else "≥"
    return f"{benchmark.quality.metric} {sign} {target:g} {benchmark.quality.unit}"
