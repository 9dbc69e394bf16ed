"""Energy, power, and energy a token and to target, from whatever meter covers most; else why there is none."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from oildrop.rules import keys
from oildrop.rules.case import Case
from oildrop.rules.measures.making import absent, present
from oildrop.rules.outcomes import Verdict
from oildrop.rules.records import Metric, MetricStatus

WIDEST_FIRST = ("wall", "node", "soc", "device", "package")
"""Scopes from the widest; an accelerator's own energy says more of its run than the processor's package."""

FORMULAS = {
    "energy_j": "energy/1",
    "power_w": "mean_power/1",
    "energy_per_token_j": "energy_per_token/1",
    "energy_to_target_j": "energy_to_target/1",
}


@dataclass(frozen=True, kw_only=True)
class ScopeEnergy:
    """Energy of all devices of one scope over one window; None with a reason when one of them has none.

    `modelled` where a meter among them works its values out from activity.
    """

    scope: str
    energy_j: float | None
    reason: str | None
    uncertainty_j: float | None
    sample_count: int
    modelled: bool = False

    def status(self, measured: MetricStatus) -> MetricStatus:
        """`measured` (or `derived`), else `modelled`."""
        return "modelled" if self.modelled else measured


def energy_metrics(case: Case, verdict: Verdict) -> Iterator[Metric]:
    """`energy_j`, `power_w`, `energy_per_token_j`, `energy_to_target_j`, each at the widest scope measured."""
    whole = energy_of_run(case)
    if isinstance(whole, str):
        for name, formula in FORMULAS.items():
            yield absent(name, whole, formula=formula, scope="run")
        return
    yield from energy_and_power(case, whole)
    tokens = sum(block.tokens for block in case.timeline.blocks)
    yield energy_per_token(whole, tokens, "no training token was counted")
    yield _to_target(case, verdict)


def energy_of_run(case: Case) -> ScopeEnergy | str:
    """Energy from run_start to run_stop at the widest scope that has a value, or why there is none."""
    start_ns, stop_ns = case.timeline.run_start_ns, case.timeline.run_stop_ns
    if start_ns is None or stop_ns is None or stop_ns <= start_ns:
        return "the run has no run_start or no run_stop"
    return widest(case, (start_ns, stop_ns))


def energy_and_power(case: Case, whole: ScopeEnergy) -> Iterator[Metric]:
    """`energy_j` and `power_w` of the run whose energy `whole` is."""
    start_ns, stop_ns = case.timeline.run_start_ns, case.timeline.run_stop_ns
    assert start_ns is not None and stop_ns is not None
    window, scope = (start_ns, stop_ns), whole.scope
    assert whole.energy_j is not None
    duration_s = (stop_ns - start_ns) / 1e9
    spread, count = whole.uncertainty_j, whole.sample_count
    yield present(
        "energy_j", whole.energy_j, formula=FORMULAS["energy_j"], scope=scope, status=whole.status("measured"),
        uncertainty=spread, sample_count=count, window_ns=window,
    )  # fmt: skip
    yield present(
        "power_w", whole.energy_j / duration_s, formula=FORMULAS["power_w"], scope=scope,
        status=whole.status("derived"), uncertainty=None if spread is None else spread / duration_s,
        sample_count=count, window_ns=window,
    )  # fmt: skip


def widest(case: Case, window_ns: tuple[int, int]) -> ScopeEnergy | str:
    """Energy at the widest scope that has a value, or the reasons why none has."""
    found = [energy_of_scope(case, scope, window_ns) for scope in WIDEST_FIRST]
    for each in found:
        if each is not None and each.energy_j is not None:
            return each
    reasons = [f"{each.scope}: {each.reason}" for each in found if each is not None]
    return "; ".join(reasons or _silent_meters(case)) or "no meter of this machine measures energy or power"


def energy_of_scope(case: Case, scope: str, window_ns: tuple[int, int]) -> ScopeEnergy | None:
    """Sum over the devices of one scope, each by its counter, else by its power; None where no meter covers it."""
    devices = case.metered.devices(scope, window_ns)
    if not devices:
        return None
    refused = [f"{each.device}: {each.reading.reason}" for each in devices if each.reading.value is None]
    values = [each.reading.value for each in devices if each.reading.value is not None]
    spreads = [each.reading.uncertainty for each in devices if each.reading.uncertainty is not None]
    return ScopeEnergy(
        scope=scope,
        energy_j=None if refused else math.fsum(values),
        reason="; ".join(refused) or None,
        uncertainty_j=math.fsum(spreads) if len(spreads) == len(devices) else None,
        sample_count=min(each.reading.sample_count for each in devices),
        modelled=any(each.modelled for each in devices),
    )


def _silent_meters(case: Case) -> list[str]:
    """What the meters that measure nothing said of themselves; the one for energy names all reasons."""
    said = {str(event.value): event.meta.get("reason") for event in case.evidence.all(keys.METER)}
    if said.get("energy"):
        return [str(said["energy"])]
    return [f"{name}: {reason}" for name, reason in said.items() if reason]


def energy_per_token(whole: ScopeEnergy, tokens: int, why_none: str) -> Metric:
    """`energy_per_token_j`: the run's energy over `tokens`; null because of `why_none` where there are none."""
    formula = FORMULAS["energy_per_token_j"]
    if not tokens or whole.energy_j is None:
        return absent("energy_per_token_j", why_none, formula=formula, scope=whole.scope)
    spread = None if whole.uncertainty_j is None else whole.uncertainty_j / tokens
    return present(
        "energy_per_token_j", whole.energy_j / tokens, formula=formula, scope=whole.scope,
        status=whole.status("derived"), uncertainty=spread, sample_count=tokens,
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
    assert found.energy_j is not None
    return present(
        name, found.energy_j, formula=formula, scope=found.scope, status=found.status("measured"),
        uncertainty=found.uncertainty_j, sample_count=found.sample_count, window_ns=window,
    )  # fmt: skip
