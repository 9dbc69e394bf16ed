"""Runs as statistics take them: what is needed of each, which count, and which are of one configuration."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from oildrop.rules.headline import headline_of
from oildrop.rules.records import Kind

NOT_COUNTED = frozenset({"started", "unsupported", "withdrawn"})
"""Outcomes of what never was an attempt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SetRun:
    """What a summary needs of one run.

    Attributes:
        value: The headline metric of its kind, in that metric's unit; None where it was not measured.
        elapsed_s: Time that the attempt took, however it ended, by one clock for all runs; None where unknown.
        energy_j: Gross energy of the whole attempt (`energy_attempt_j`); None where it was not measured.
        energy_scope: What that covers; None beside a missing one.
        provisional: Why the rulebook calls the tier provisional; None where it does not.
        scenario: How requests arrived; None for a training.
        unranked: Why this run is never ranked, whatever its tier, as for what it chose to serve; None where it may be.
        rate_per_s: Queries a second that were offered, where somebody gave the rate; None where it was searched for.
        censored_s: Time from run_start up to which the target is known not to have been reached, of a run that used
            up its samples; None of any other, and where it is unknown.
        seed: Pairs it with runs of other configurations; None where nobody compares.
        session_id: What it shares a sitting with; None where nobody asks.
        track: What keeps it apart from others in ranks (`tracks.track_of`); None: nothing.
    """

    benchmark: str
    tier: str
    backend: str
    division: str
    workload_id: str
    system_id: str
    software_id: str
    set_id: str
    outcome: str
    seeds_chosen: bool
    kind: Kind
    value: float | None
    elapsed_s: float | None
    provisional: str | None = None
    scenario: str | None = None
    unranked: str | None = None
    rate_per_s: float | None = None
    censored_s: float | None = None
    seed: int | None = None
    session_id: str | None = None
    track: str | None = None
    energy_j: float | None = None
    energy_scope: str | None = None

    @property
    def configuration(self) -> tuple[str, ...]:
        """What must be equal for runs to be summarised together."""
        return configuration_of(self)

    @property
    def metric(self) -> str | None:
        """Name of its headline metric; None where runs of its kind and scenario have none."""
        return headline_of(self.kind, self.scenario)


_LIKENESS = attrgetter(
    "benchmark", "tier", "division", "backend", "kind", "workload_id", "system_id", "software_id", "scenario",
    "rate_per_s",
)  # fmt: skip
"""Runs that are alike in these are of one configuration; of a hundred thousand runs few need be asked which."""


def configuration_of(of: Any) -> tuple[str, ...]:
    """What must be equal for runs to be summarised together: of a `SetRun`, or a summary, which has its names."""
    place = (of.benchmark, of.tier, of.division, of.backend)
    arrivals = (of.scenario,) if of.scenario else ()
    if of.rate_per_s is not None:
        arrivals = (*arrivals, f"{of.rate_per_s:.16g}")
    return (*place, of.kind, of.workload_id, of.system_id, of.software_id, *arrivals)


def is_counted(outcome: str, seeds_chosen: bool) -> bool:
    """Whether a run counts: every registered attempt with a seed of the rulebook's does."""
    return outcome not in NOT_COUNTED and not seeds_chosen


def counted_of(runs: Iterable[SetRun]) -> list[SetRun]:
    """Those that count, as `is_counted` says."""
    return [run for run in runs if not run.seeds_chosen and run.outcome not in NOT_COUNTED]


def grouped(runs: Iterable[SetRun]) -> dict[tuple[str, ...], list[SetRun]]:
    """Runs by their configuration."""
    alike: dict[tuple[object, ...], list[SetRun]] = {}
    for run in runs:
        alike.setdefault(_LIKENESS(run), []).append(run)
    groups: dict[tuple[str, ...], list[SetRun]] = {}
    for group in alike.values():
        groups.setdefault(group[0].configuration, []).extend(group)
    return groups
