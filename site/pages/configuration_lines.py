"""One configuration as a line of a table, and as a line of its CSV."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from oildrop.rules.catalogue import CATALOGUE
from oildrop.rules.summary import Summary
from oildrop.site.pages import labels
from oildrop.site.pages.addresses import system_address
from oildrop.site.pages.boards import Board, Configuration
from oildrop.site.pages.csvs import Cell
from oildrop.site.pages.formats import count_text, number, scaled

CONFIGURATION_HEADER = (
    "rank_best", "rank_worst", "system", "system_id", "backend", "division", "settings", "workload_id", "software_id",
    "runs", "ok", "failed", "not_counted", "outcomes", "metric", "estimate", "ci95_low", "ci95_high", "success_rate",
    "expected_time_to_success_s", "expected_energy_to_success_j", "energy_scope", "energy_reason",
    "median_time_to_target_s", "median_ci95_low_s", "median_ci95_high_s", "sessions", "standing", "reason",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ConfigurationLine:
    """One configuration as a template takes it."""

    anchor: str
    rank: str
    machine: str
    system_href: str
    backend: str
    framework: str
    settings: str
    division: str
    tally: Markup
    not_counted: int
    failures: Markup
    estimate: str | None
    interval: str | None
    unit: str
    expected: str | None
    energy: str | None
    median: str | None
    standing: str
    reason: str | None
    board_href: str
    board_name: str


def configuration_line(configuration: Configuration, board: Board) -> ConfigurationLine:
    """One configuration in words and numbers."""
    summary, row = configuration.summary, configuration.rows[0]
    spec = row.spec
    version = f"benchmark {spec.benchmark_sha256[:8]}" if len(board.versions) > 1 else ""
    interval = None
    if summary.ci95_low is not None and summary.ci95_high is not None:
        interval = f"{number(summary.ci95_low)} to {number(summary.ci95_high)}"
    expected = summary.expected_time_to_success_s
    return ConfigurationLine(
        anchor=configuration.anchor,
        rank=rank_text(configuration.rank),
        machine=labels.device_name(row),
        system_href=system_address(spec.system_id),
        backend=spec.backend,
        framework=labels.framework_text(row.system, spec.backend),
        settings=labels.joined([labels.settings_text(spec), labels.given_rate_text(summary.rate_per_s), version]),
        division=spec.division,
        tally=(labels.probe_text if summary.kind == "probe" else labels.tally_text)(summary.ok, summary.failed),
        not_counted=summary.not_counted,
        failures=labels.outcome_tallies(summary.outcomes),
        estimate=None if summary.estimate is None else number(summary.estimate),
        interval=interval,
        unit=CATALOGUE[summary.metric].unit if summary.metric in CATALOGUE else "",
        expected=None if expected is None else number(expected),
        energy=_energy_text(summary),
        median=None if summary.median_time_to_target_s is None else number(summary.median_time_to_target_s),
        standing=summary.standing,
        reason=_standing_reason(summary),
        board_href=f"index.html#board-{board.slug}",
        board_name=board.name,
    )


def _energy_text(summary: Summary) -> str | None:
    """What a success costs in energy, and at which scope; None where no meter saw every attempt."""
    if summary.expected_energy_to_success_j is None:
        return None
    energy = " ".join(scaled(summary.expected_energy_to_success_j, "J"))
    return f"{energy} a success, failures counted ({summary.energy_scope})"


def _standing_reason(summary: Summary) -> str | None:
    """Why a standing is what it is, with the number of runs where that decides."""
    if summary.standing in ("provisional", "anecdote"):
        return "; ".join(filter(None, [f"{count_text(summary.runs, 'run')}, fewer than 5", summary.reason]))
    return summary.reason


def rank_text(rank: tuple[int, int] | None) -> str:
    """`1`, or `1-3` with an en dash for a tie; empty without a rank."""
    if rank is None:
        return ""
    return str(rank[0]) if rank[0] == rank[1] else f"{rank[0]}–{rank[1]}"


def configuration_cells(configuration: Configuration) -> tuple[Cell, ...]:
    """Its CSV line, in the order of `CONFIGURATION_HEADER`."""
    summary, row = configuration.summary, configuration.rows[0]
    best, worst = configuration.rank or (None, None)
    outcomes = " ".join(f"{name}={count}" for name, count in labels.ordered(summary.outcomes))
    return (
        best, worst, labels.device_name(row), summary.system_id, summary.backend, summary.division,
        labels.settings_text(row.spec), summary.workload_id, summary.software_id, summary.runs, summary.ok,
        summary.failed, summary.not_counted, outcomes, summary.metric, summary.estimate, summary.ci95_low,
        summary.ci95_high, summary.success_rate, summary.expected_time_to_success_s,
        summary.expected_energy_to_success_j, summary.energy_scope, summary.energy_reason,
        summary.median_time_to_target_s, summary.median_ci95_low_s, summary.median_ci95_high_s, summary.sessions,
        summary.standing, summary.reason,
    )  # fmt: skip
