"""One line for each configuration: what its registered runs say together.

Every registered attempt counts. Left out are only those that never were one (`started`,
`unsupported`, `withdrawn`) and runs whose seed was chosen by hand.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal

from oildrop.rules.expected_energy import expected_energy
from oildrop.rules.records import Kind, Record
from oildrop.rules.set_runs import SetRun, configuration_of, counted_of, grouped
from oildrop.rules.statistics import (
    Estimate,
    expected_time_to_success_s,
    log_t_interval,
    standing,
    wilson_interval,
)
from oildrop.rules.survival import Median, median_time

NO_SCATTER = "{} equal values have no interval: scatter finer than their resolution leaves no trace in them"

SummaryStanding = Literal["ranked", "provisional", "anecdote", "unranked"]


class Summary(Record):
    """One configuration's runs together.

    Attributes:
        runs: Registered attempts that count.
        ok: Those of them that reached their goal; the others are `failed`.
        not_counted: Runs left out: chosen seeds, and attempts that never were one.
        outcomes: Every run of the configuration by outcome, those left out included.
        metric: Name of the headline metric; `estimate` is its geometric mean, in its unit.
        ci95_low: Log-t 95 % interval, with `ci95_high`; None beside a null or single estimate.
        success_rate: ok / runs, with Wilson's 95 % interval; None without a counted run.
        expected_time_to_success_s: All time over successes; no interval is claimed.
        expected_energy_to_success_j: All energy over successes, that of failed runs included, at scope `energy_scope`;
            None, for `energy_reason`, unless every counted run has its energy and all at the same scope.
        median_time_to_target_s: Time by which half of the runs reach the target, those that missed it censored and
            those that failed never, with Brookmeyer and Crowley's 95 % interval (an end is None where nothing bounds
            it). None where all succeeded, for then `estimate` speaks, and of other kinds than `to_target`.
        sessions: Sittings that the counted runs belong to; they are what a claim beyond them would count.
        reason: Why something above is None, or why the standing is `unranked`.
    """

    benchmark: str
    tier: str
    backend: str
    division: str
    kind: Kind
    scenario: str | None
    rate_per_s: float | None
    track: str | None
    workload_id: str
    system_id: str
    software_id: str
    runs: int
    ok: int
    failed: int
    not_counted: int
    outcomes: dict[str, int]
    metric: str
    estimate: float | None
    ci95_low: float | None
    ci95_high: float | None
    success_rate: float | None
    success_ci95_low: float | None
    success_ci95_high: float | None
    expected_time_to_success_s: float | None
    expected_energy_to_success_j: float | None
    energy_scope: str | None
    energy_reason: str | None
    median_time_to_target_s: float | None
    median_ci95_low_s: float | None
    median_ci95_high_s: float | None
    sessions: int
    standing: SummaryStanding
    reason: str | None

    @property
    def configuration(self) -> tuple[str, ...]:
        """As `SetRun.configuration` of its runs."""
        return configuration_of(self)


def summarise(runs: Iterable[SetRun]) -> tuple[Summary, ...]:
    """One summary for each configuration, ordered by benchmark, tier, division, backend and identities.

    Kinds and scenarios without a headline metric (`calibrate`, `probe`) have no summary.
    """
    groups = grouped(runs)
    metrics = {configuration: group[0].metric for configuration, group in groups.items()}
    return tuple(
        _summary(groups[configuration], metric)
        for configuration in sorted(groups)
        if (metric := metrics[configuration]) is not None
    )


def _summary(group: Sequence[SetRun], metric: str) -> Summary:
    shared, counted = group[0], counted_of(group)
    ok = [run.outcome for run in counted].count("ok")
    estimate, why_no_estimate = _estimate(counted, ok, metric)
    time_s, why_no_time = _expected_time(counted, ok)
    energy = expected_energy([(run.energy_j, run.energy_scope) for run in counted], ok)
    median, why_no_median = _median(counted, ok)
    rank, why_unranked = _standing(group, counted)
    rate = wilson_interval(ok, len(counted)) if counted else None
    reasons = dict.fromkeys(why for why in (why_unranked, why_no_estimate, why_no_time, why_no_median) if why)
    return Summary(
        benchmark=shared.benchmark,
        tier=shared.tier,
        backend=shared.backend,
        division=shared.division,
        kind=shared.kind,
        scenario=shared.scenario,
        rate_per_s=shared.rate_per_s,
        track=shared.track,
        workload_id=shared.workload_id,
        system_id=shared.system_id,
        software_id=shared.software_id,
        runs=len(counted),
        ok=ok,
        failed=len(counted) - ok,
        not_counted=len(group) - len(counted),
        outcomes=_tally([run.outcome for run in group]),
        metric=metric,
        estimate=estimate.value if estimate else None,
        ci95_low=estimate.low if estimate else None,
        ci95_high=estimate.high if estimate else None,
        success_rate=rate.value if rate else None,
        success_ci95_low=rate.low if rate else None,
        success_ci95_high=rate.high if rate else None,
        expected_time_to_success_s=time_s,
        expected_energy_to_success_j=energy.value_j,
        energy_scope=energy.scope,
        energy_reason=energy.reason,
        median_time_to_target_s=median.value if median else None,
        median_ci95_low_s=median.low if median else None,
        median_ci95_high_s=median.high if median else None,
        sessions=len({run.session_id for run in counted}),
        standing=rank,
        reason="; ".join(reasons) or None,
    )


def _tally(outcomes: Sequence[str]) -> dict[str, int]:
    return {outcome: outcomes.count(outcome) for outcome in sorted(set(outcomes))}


def _estimate(counted: Sequence[SetRun], ok: int, metric: str) -> tuple[Estimate | None, str | None]:
    """The headline over runs that all succeeded, else None and why."""
    if not counted:
        return None, "no run counts"
    if ok < len(counted):
        return None, f"{len(counted) - ok} of {len(counted)} runs did not succeed, so {metric} has no estimate"
    values = [value for run in counted if (value := run.value) is not None and 0 < value < math.inf]
    if len(values) < len(counted):
        return None, f"{len(counted) - len(values)} of {len(counted)} runs carry no {metric} above 0"
    estimate = log_t_interval(values)
    if estimate.low is not None:
        return estimate, None
    return estimate, "1 run has no interval" if estimate.count == 1 else NO_SCATTER.format(estimate.count)


def _expected_time(counted: Sequence[SetRun], ok: int) -> tuple[float | None, str | None]:
    if not counted:
        return None, "no run counts"
    if not ok:
        return None, "no run succeeded, so no time to success can be expected"
    times_s = [time_s for run in counted if (time_s := run.elapsed_s) is not None and 0 <= time_s < math.inf]
    if len(times_s) < len(counted):
        unknown = len(counted) - len(times_s)
        return None, f"expected time to success unknown: {unknown} of {len(counted)} runs have no known duration"
    return expected_time_to_success_s(times_s, ok), None


def _median(counted: Sequence[SetRun], ok: int) -> tuple[Median | None, str | None]:
    """The median time to target of runs of which some did not reach it, and why there is none."""
    if not counted or counted[0].kind != "to_target" or ok == len(counted):
        return None, None
    times_s = [_known_time_s(run) for run in counted]
    known = [time_s for time_s in times_s if time_s is not None]
    if len(known) < len(counted):
        return None, f"no median: {len(counted) - len(known)} of {len(counted)} runs have no known time"
    median = median_time(known, [run.outcome == "ok" for run in counted])
    return median, None if median.value is not None else "no median: fewer than half of the runs reach the target"


def _known_time_s(run: SetRun) -> float | None:
    """Its time to target, or how long it is known not to have reached it; None where that is unknown."""
    if run.outcome in ("ok", "target_missed"):
        time_s = run.value if run.outcome == "ok" else run.censored_s
        return time_s if time_s is not None and 0 < time_s < math.inf else None
    return math.inf


def _standing(group: Sequence[SetRun], counted: Sequence[SetRun]) -> tuple[SummaryStanding, str | None]:
    invalid = sorted({run.set_id for run in group if run.outcome == "invalid"})
    if invalid:
        return "unranked", f"an invalid run unranks its set ({', '.join(invalid)})"
    if not counted:
        return "unranked", "no run counts"
    if group[0].kind == "fixed_work":
        return "unranked", "fixed work is never ranked"
    unranked = next((run.unranked for run in group if run.unranked), None)
    if unranked:
        return "unranked", unranked
    if group[0].provisional:
        return "unranked", f"the tier is provisional: {group[0].provisional}"
    return standing(len(counted)), None
