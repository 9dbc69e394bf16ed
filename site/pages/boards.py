"""What is compared with what: runs grouped into boards (benchmark, tier, scenario, track) of configurations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from oildrop.results.document import set_runs
from oildrop.results.rows import RunRow
from oildrop.rules.catalogue import CATALOGUE
from oildrop.rules.headline import headline_of
from oildrop.rules.ranks import rank_intervals
from oildrop.rules.summary import Summary, summarise
from oildrop.site.pages.addresses import board_slug, key_of

_NO_HEADLINE = {"probe": "probes look for the highest rate: each is shown, none is counted"}
_STANDINGS = ("ranked", "provisional", "anecdote", "unranked")


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """Runs of one workload on one system with one software, and what they say together.

    Attributes:
        rank: First and last place within its division; None where it has none.
        anchor: Its id on the index page.
        rows: Its runs by seed index, runs of chosen seeds last.
    """

    summary: Summary
    rank: tuple[int, int] | None
    anchor: str
    rows: tuple[RunRow, ...]


@dataclass(frozen=True, kw_only=True)
class Board:
    """One benchmark at one tier, served ones in one scenario: all its configurations, best first, none left out.

    Attributes:
        track: What sets its runs apart from those of another board (as of `Summary`); None: nothing.
    """

    benchmark: str
    tier: str
    scenario: str | None
    track: str | None
    slug: str
    configurations: tuple[Configuration, ...]

    @property
    def where(self) -> str:
        """Tier, scenario and track in words."""
        place = self.tier if self.scenario is None else f"{self.tier} {self.scenario}"
        return place if self.track is None else f"{place}, {self.track}"

    @property
    def name(self) -> str:
        """Benchmark, tier and scenario in words."""
        return f"{self.benchmark} {self.where}"

    @cached_property
    def rows(self) -> list[RunRow]:
        """All runs in the order of the configurations."""
        return [row for configuration in self.configurations for row in configuration.rows]

    @cached_property
    def versions(self) -> frozenset[str]:
        """Hashes of the benchmark's versions that these runs were made under."""
        return frozenset(row.spec.benchmark_sha256 for row in self.rows)


def boards_of(rows: Sequence[RunRow]) -> list[Board]:
    """All boards: those with a target first, then by benchmark and tier."""
    groups: dict[tuple[str, ...], list[RunRow]] = {}
    runs = set_runs(rows)
    for row, run in zip(rows, runs, strict=True):
        groups.setdefault(run.configuration, []).append(row)
    summaries = {summary.configuration: summary for summary in summarise(runs)}
    boards: dict[tuple[str, str, str, str], list[Configuration]] = {}
    for place, group in groups.items():
        summary = summaries.get(place) or _without_headline(group)
        configuration = Configuration(
            summary=summary, rank=None, anchor=f"c-{key_of(*place)}", rows=tuple(sorted(group, key=_run_order))
        )
        board = (summary.benchmark, summary.tier, summary.scenario or "", summary.track or "")
        boards.setdefault(board, []).append(configuration)
    return [
        Board(
            benchmark=benchmark,
            tier=tier,
            scenario=scenario or None,
            track=track or None,
            slug=board_slug(benchmark, tier, scenario or None, track or None),
            configurations=tuple(sorted(_with_ranks(members), key=_configuration_order)),
        )
        for (benchmark, tier, scenario, track), members in sorted(boards.items(), key=_board_order)
    ]


def _board_order(board: tuple[tuple[str, ...], Sequence[Configuration]]) -> tuple[object, ...]:
    """Boards with a target first, then served ones, then those that are never ranked."""
    place, configurations = board
    kinds = {configuration.summary.kind for configuration in configurations}
    return "to_target" not in kinds, not kinds & {"serve", "probe"}, place


def _without_headline(group: Sequence[RunRow]) -> Summary:
    """The line of runs of a kind that has no headline metric: shown, never summarised."""
    runs = [replace(run, kind="fixed_work", scenario=None, value=None) for run in set_runs(group)]
    (summary,) = summarise(runs)
    kind, scenario = group[0].spec.kind, group[0].spec.scenario
    reason = _NO_HEADLINE.get(kind, f"runs of kind {kind} have no headline metric")
    metric = headline_of("serve", scenario) if scenario else None
    update = {"kind": kind, "scenario": scenario, "metric": metric or summary.metric, "estimate": None,
              "expected_time_to_success_s": None}  # fmt: skip
    return summary.model_copy(update={**update, "standing": "unranked", "reason": reason})


def _with_ranks(configurations: Sequence[Configuration]) -> list[Configuration]:
    """The same with ranks, given within one division of one version of the benchmark."""
    leagues: dict[tuple[str, str], list[int]] = {}
    for index, configuration in enumerate(configurations):
        if configuration.summary.standing == "ranked":
            spec = configuration.rows[0].spec
            leagues.setdefault((spec.division, spec.benchmark_sha256), []).append(index)
    ranked = list(configurations)
    for members in leagues.values():
        intervals = rank_intervals([set_runs(configurations[index].rows) for index in members])
        for index, interval in zip(members, intervals, strict=True):
            ranked[index] = replace(configurations[index], rank=interval)
    return ranked


def _lower_is_better(name: str, value: float) -> float:
    if name in CATALOGUE and CATALOGUE[name].better == "higher":
        return 1 / value if value > 0 else math.inf
    return value


def _configuration_order(configuration: Configuration) -> tuple[object, ...]:
    summary = configuration.summary
    better_first = summary.expected_time_to_success_s
    if summary.estimate is not None:
        better_first = _lower_is_better(summary.metric, summary.estimate)
    return (
        summary.kind == "probe",
        summary.division != "closed",
        summary.division,
        _STANDINGS.index(summary.standing),
        configuration.rank or (math.inf, math.inf),
        summary.estimate is None,
        math.inf if better_first is None else better_first,
        configuration.anchor,
    )


def _run_order(row: RunRow) -> tuple[object, ...]:
    index = row.spec.seed_index
    return (row.spec.seeds_chosen, math.inf if index is None else index, row.run_id)
