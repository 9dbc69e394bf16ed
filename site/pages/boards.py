"""What is compared with what: runs grouped into boards (benchmark and tier) of configurations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from oildrop.results.document import set_runs
from oildrop.results.rows import RunRow
from oildrop.rules.summary import Summary, is_counted, summarise
from oildrop.site.pages.addresses import board_slug, key_of
from oildrop.site.pages.ranking import rank_intervals

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
    """One benchmark at one tier: all its configurations, best first, none left out."""

    benchmark: str
    tier: str
    slug: str
    configurations: tuple[Configuration, ...]

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
    boards: dict[tuple[str, str], list[Configuration]] = {}
    for place, group in groups.items():
        summary = summaries.get(place) or _without_headline(group)
        configuration = Configuration(
            summary=summary, rank=None, anchor=f"c-{key_of(*place)}", rows=tuple(sorted(group, key=_run_order))
        )
        boards.setdefault((summary.benchmark, summary.tier), []).append(configuration)
    return [
        Board(
            benchmark=benchmark,
            tier=tier,
            slug=board_slug(benchmark, tier),
            configurations=tuple(sorted(_with_ranks(boards[benchmark, tier]), key=_configuration_order)),
        )
        for benchmark, tier in sorted(boards, key=lambda place: (_never_ranked(boards[place]), place))
    ]


def _never_ranked(configurations: Sequence[Configuration]) -> bool:
    return all(configuration.summary.kind != "to_target" for configuration in configurations)


def _without_headline(group: Sequence[RunRow]) -> Summary:
    """The line of runs of a kind that has no headline metric: shown, never summarised."""
    runs = [replace(run, kind="fixed_work", scenario=None, value=None) for run in set_runs(group)]
    (summary,) = summarise(runs)
    kind, scenario = group[0].spec.kind, group[0].spec.scenario
    reason = f"runs of kind {kind} have no headline metric"
    return summary.model_copy(
        update={"kind": kind, "scenario": scenario, "estimate": None, "standing": "unranked", "reason": reason}
    )


def _with_ranks(configurations: Sequence[Configuration]) -> list[Configuration]:
    """The same with ranks, given within one division of one version of the benchmark."""
    leagues: dict[tuple[str, str], list[int]] = {}
    for index, configuration in enumerate(configurations):
        if configuration.summary.standing == "ranked" and configuration.summary.kind == "to_target":
            spec = configuration.rows[0].spec
            leagues.setdefault((spec.division, spec.benchmark_sha256), []).append(index)
    ranked = list(configurations)
    for members in leagues.values():
        intervals = rank_intervals([_times(configurations[index]) for index in members])
        for index, interval in zip(members, intervals, strict=True):
            ranked[index] = replace(configurations[index], rank=interval)
    return ranked


def _times(configuration: Configuration) -> list[float]:
    """Times to target of the runs that count, seconds; infinite for those that never reached it."""
    times = []
    for row in configuration.rows:
        if is_counted(row.outcome, row.spec.seeds_chosen):
            metric = row.headlines.get("time_to_target_s")
            reached = row.outcome == "ok" and metric is not None and metric.value is not None
            times.append(float(metric.value) if reached and metric and metric.value is not None else math.inf)
    return times


def _configuration_order(configuration: Configuration) -> tuple[object, ...]:
    summary = configuration.summary
    value = summary.estimate if summary.estimate is not None else summary.expected_time_to_success_s
    better_first = math.inf if value is None else (value if summary.kind == "to_target" else -value)
    return (
        summary.division != "closed",
        summary.division,
        _STANDINGS.index(summary.standing),
        configuration.rank or (math.inf, math.inf),
        summary.estimate is None,
        better_first,
        configuration.anchor,
    )


def _run_order(row: RunRow) -> tuple[object, ...]:
    index = row.spec.seed_index
    return (row.spec.seeds_chosen, math.inf if index is None else index, row.run_id)
