"""What stands beside a board's ranks: what they may be taken to say, and what its first ties leave open."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from oildrop.results.sides import side_of
from oildrop.rules.comparison import Side, compare
from oildrop.rules.comparison_sentences import say_of_ranks
from oildrop.site.pages import labels
from oildrop.site.pages.boards import Board, Configuration

MOST_TIES = 10
"""Lines of a division that are compared each with the next; `oildrop compare` does any two."""


def ranks_text(board: Board) -> str | None:
    """What the board's ranks say; None where it has none."""
    ranked = [each.summary for each in board.configurations if each.rank is not None]
    return say_of_ranks([(summary.system_id, summary.sessions) for summary in ranked]) if ranked else None


def open_ties(board: Board) -> list[str]:
    """The comparison of each of the first ranked lines with the next, where no difference is resolved."""
    results = [compare(a, b) for a, b in _neighbours(board)]
    return [result.sentence for result in results if result.verdict in ("unresolved", "as_fast")]


def _neighbours(board: Board) -> Iterator[tuple[Side, Side]]:
    leagues: dict[tuple[str, str], list[tuple[int, Configuration]]] = {}
    for number, each in enumerate(board.configurations, start=1):
        if each.rank is not None:
            spec = each.rows[0].spec
            leagues.setdefault((spec.division, spec.benchmark_sha256), []).append((number, each))
    for league in leagues.values():
        for one, other in pairwise(league[:MOST_TIES]):
            yield _side(*one), _side(*other)


def _side(number: int, configuration: Configuration) -> Side:
    row = configuration.rows[0]
    words = (labels.device_name(row), row.spec.backend, labels.settings_text(row.spec))
    return side_of(f"line {number} ({labels.joined(list(words))})", configuration.rows)
