"""Energy, power, and energy a token, a sample and to target, by whatever meter covers most; else why there is none."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from oildrop.rules import keys
from oildrop.rules.case import Case
from oildrop.rules.measures.making import NO_DIMS, absent, present
from oildrop.rules.metered import DeviceEnergy
from oildrop.rules.outcomes import Verdict
from oildrop.rules.records import Metric, MetricStatus

WIDEST_FIRST = ("wall", "node", "soc", "device", "package")
"""Scopes from the widest; an accelerator's own energy says more of its run than the processor's package."""

FORMULAS = {
    "energy_j": "energy/1",
    "power_w": "mean_power/1",
    "idle_power_w": "idle_power/1",
    "energy_above_idle_j": "energy_above_idle/1",
    "energy_per_token_j": "energy_per_token/1",
    "energy_per_sample_j": "energy_per_sample/1",
    "energy_per_request_j": "energy_per_request/1",
    "energy_to_target_j": "energy_to_target/1",
    "energy_attempt_j": "energy_attempt/1",
}
OF_THE_RUN = ("energy_j", "power_w", "idle_power_w", "energy_above_idle_j")
"""What a training and a served run say alike of the time from run_start to run_stop."""


@dataclass(frozen=True, kw_only=True)
class ScopeEnergy:
    """Energy of all devices of one scope over one window; None with a reason when one of them has none.

    Attributes:
        modelled: A meter among them works its values out from activity.
        flag: What is to be known of a value that is kept: the window is short for a meter; None: nothing.
    """

    scope: str
    energy_j: float | None
    reason: str | None
    uncertainty_j: float | None
    sample_count: int
    modelled: bool = False
    flag: str | None = None

    def status(self, measured: MetricStatus) -> MetricStatus:
        """`measured` (or `derived`), else `modelled`."""
        return "modelled" if self.modelled else measured


def trained_energy_metrics(case: Case, verdict: Verdict, whole: ScopeEnergy | str) -> Iterator[Metric]:
    """`energy_per_token_j`, `energy_per_sample_j`, `energy_to_target_j` of the run whose energy `whole` is."""
    if isinstance(whole, str):
        for name in ("energy_per_token_j", "energy_per_sample_j", "energy_to_target_j"):
            yield absent(name, whole, formula=FORMULAS[name], scope="run")
        return
    blocks = case.timeline.blocks
    tokens, samples = sum(block.tokens for block in blocks), sum(block.samples for block in blocks)
    yield energy_per(case, "energy_per_token_j", whole, tokens, "no training token was counted")
    yield energy_per(case, "energy_per_sample_j", whole, samples, "no training sample was counted")
    yield _to_target(case, verdict)


def run_window(case: Case) -> tuple[int, int] | None:
    """From run_start to run_stop; None unless both were logged in this order."""
    start_ns, stop_ns = case.timeline.run_start_ns, case.timeline.run_stop_ns
    return (start_ns, stop_ns) if start_ns is not None and stop_ns is not None and stop_ns > start_ns else None


def energy_of_run(case: Case) -> ScopeEnergy | str:
    """Energy from run_start to run_stop at the widest scope that has a value, or why there is none."""
    window = run_window(case)
    return "the run has no run_start or no run_stop" if window is None else widest(case, window)


def energy_and_power(case: Case, whole: ScopeEnergy) -> Iterator[Metric]:
    """`energy_j` and `power_w` of the run whose energy `whole` is."""
    window = run_window(case)
    assert window is not None and whole.energy_j is not None
    yield energy_metric("energy_j", whole, window)
    yield power_metric("power_w", whole, window)


def energy_metric(
    name: str, found: ScopeEnergy, window_ns: tuple[int, int], *, formula: str | None = None,
    dims: Mapping[str, str] = NO_DIMS,
) -> Metric:  # fmt: skip
    """An energy over a window, or why it has none."""
    formula = formula or FORMULAS[name]
    if found.energy_j is None:
        reason = found.reason or "not measured"
        return absent(name, reason, formula=formula, scope=found.scope, dims=dims)
    return present(
        name, found.energy_j, formula=formula, scope=found.scope, status=found.status("measured"), reason=found.flag,
        uncertainty=found.uncertainty_j, sample_count=found.sample_count, window_ns=window_ns, dims=dims,
    )  # fmt: skip


def power_metric(
    name: str, found: ScopeEnergy, window_ns: tuple[int, int], *, dims: Mapping[str, str] = NO_DIMS
) -> Metric:
    """Mean power over a window whose energy `found` is, or why it has none."""
    if found.energy_j is None:
        reason = found.reason or "not measured"
        return absent(name, reason, formula=FORMULAS[name], scope=found.scope, dims=dims)
    duration_s = (window_ns[1] - window_ns[0]) / 1e9
    spread = None if found.uncertainty_j is None else found.uncertainty_j / duration_s
    return present(
        name, found.energy_j / duration_s, formula=FORMULAS[name], scope=found.scope, status=found.status("derived"),
        reason=found.flag, uncertainty=spread, sample_count=found.sample_count, window_ns=window_ns, dims=dims,
    )  # fmt: skip


def widest(case: Case, window_ns: tuple[int, int]) -> ScopeEnergy | str:
    """Energy at the widest scope that has a value, or the reasons why none has."""
    found = [energy_of_scope(case, scope, window_ns) for scope in WIDEST_FIRST]
    for each in found:
        if each is not None and each.energy_j is not None:
            return each
    reasons = [f"{each.scope}: {each.reason}" for each in found if each is not None]
    return "; ".join(reasons or silent_meters(case)) or "no meter of this machine measures energy or power"


def energy_of_scope(case: Case, scope: str, window_ns: tuple[int, int], *, loaded: bool = True) -> ScopeEnergy | None:
    """Sum over the devices of one scope, each by its counter, else by its power; None where no meter covers it."""
    return summed(scope, case.metered.devices(scope, window_ns, loaded=loaded))


def summed(scope: str, devices: Sequence[DeviceEnergy]) -> ScopeEnergy | None:
    """The devices of one scope together; None where there is none."""
    if not devices:
        return None
    refused = [f"{each.device}: {each.reading.reason}" for each in devices if each.reading.value is None]
    values = [each.reading.value for each in devices if each.reading.value is not None]
    spreads = [each.reading.uncertainty for each in devices if each.reading.uncertainty is not None]
    flags = [trouble.message for each in devices for trouble in each.troubles if trouble.kind == "short"]
    return ScopeEnergy(
        scope=scope,
        energy_j=None if refused else math.fsum(values),
        reason="; ".join(refused) or None,
        uncertainty_j=math.fsum(spreads) if len(spreads) == len(devices) else None,
        sample_count=min(each.reading.sample_count for each in devices),
        modelled=any(each.modelled for each in devices),
        flag="; ".join(dict.fromkeys(flags)) or None,
    )


def silent_meters(case: Case) -> list[str]:
    """What the meters that measure nothing said of themselves; the one for energy names all reasons."""
    said = {str(event.value): event.meta.get("reason") for event in case.evidence.all(keys.METER)}
    if said.get("energy"):
        return [str(said["energy"])]
    return [f"{name}: {reason}" for name, reason in said.items() if reason]


def energy_per(case: Case, name: str, whole: ScopeEnergy, count: int, why_none: str) -> Metric:
    """The run's energy over `count` tokens, samples or requests; null because of `why_none` where there are none."""
    formula = FORMULAS[name]
    if not count or whole.energy_j is None:
        return absent(name, why_none, formula=formula, scope=whole.scope)
    spread = None if whole.uncertainty_j is None else whole.uncertainty_j / count
    return present(
        name, whole.energy_j / count, formula=formula, scope=whole.scope, status=whole.status("derived"),
        reason=whole.flag, uncertainty=spread, sample_count=count, window_ns=run_window(case),
    )  # fmt: skip


def _to_target(case: Case, verdict: Verdict) -> Metric:
    name, formula = "energy_to_target_j", FORMULAS["energy_to_target_j"]
    if case.tier is not None and case.target is None:
        return absent(name, "fixed work has no target", formula=formula, scope="run", status="not_applicable")
    start_ns = case.timeline.run_start_ns
    if verdict.outcome != "ok" or case.meeting is None or start_ns is None:
        return absent(name, f"the target was not reached: {verdict.outcome}", formula=formula, scope="run")
    window = (start_ns, case.timeline.evaluations[case.meeting].stop_ns)
    found = widest(case, window)
    if isinstance(found, str):
        return absent(name, found, formula=formula, scope="run")
    return energy_metric(name, found, window)
