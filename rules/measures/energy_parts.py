"""What a run's energy is made of: idle power and what lies above it, the energy of each phase, that of the attempt."""

from __future__ import annotations

from collections.abc import Iterator

from oildrop.rules.case import Case
from oildrop.rules.measures.energy import (
    FORMULAS,
    OF_THE_RUN,
    WIDEST_FIRST,
    ScopeEnergy,
    energy_and_power,
    energy_metric,
    energy_of_run,
    energy_of_scope,
    power_metric,
    run_window,
    silent_meters,
    summed,
    trained_energy_metrics,
)
from oildrop.rules.measures.making import absent, present
from oildrop.rules.metric_meaning import SERVE
from oildrop.rules.outcomes import Verdict
from oildrop.rules.phases import IDLE, PhaseSpan
from oildrop.rules.records import Metric

BY_PHASE = "energy_by_phase/1"
PHASES = ("compile", "init", "warmup", "train", "serve", "eval")
NOT_IDLE = "no idle time was sampled before or after the run"


def energy_metrics(case: Case, verdict: Verdict) -> Iterator[Metric]:
    """All energy metrics of a training, and those of other work that are no statement about requests."""
    energy = energy_of_run(case)
    yield from energy_parts(case, energy)
    yield from trained_energy_metrics(case, verdict, energy)
    yield attempt_metric(case)


def energy_parts(case: Case, whole: ScopeEnergy | str) -> Iterator[Metric]:
    """`energy_j` with its phases, `power_w`, `idle_power_w` before and after, `energy_above_idle_j`."""
    if isinstance(whole, str):
        for name in OF_THE_RUN:
            yield absent(name, whole, formula=FORMULAS[name], scope="run")
        return
    yield from energy_and_power(case, whole)
    yield from _by_phase(case, whole)
    yield from _idle(case, whole)


def _by_phase(case: Case, whole: ScopeEnergy) -> Iterator[Metric]:
    """`energy_j` of each phase that the run had: of those on the clock only the part between run_start and run_stop."""
    run_ns = run_window(case)
    assert run_ns is not None
    timed = ("serve",) if case.evidence.spec.kind in SERVE else ("train", "eval")
    for name in PHASES:
        bounds = run_ns if name in timed else (0, case.timeline.end_ns)
        clipped = [
            (max(span.start_ns, bounds[0]), min(span.stop_ns, bounds[1]))
            for span in case.timeline.phases
            if span.name == name
        ]
        spans = [span for span in clipped if span[1] > span[0]]
        if not spans:
            continue
        found = summed(whole.scope, case.metered.spans(whole.scope, spans, run_ns))
        assert found is not None
        yield energy_metric("energy_j", found, (spans[0][0], spans[-1][1]), formula=BY_PHASE, dims={"phase": name})


def _idle(case: Case, whole: ScopeEnergy) -> Iterator[Metric]:
    """Idle power is the mean of before and after; the uncertainty reaches over both."""
    sides = {
        when: metric for when, span in _idle_spans(case).items() if (metric := _idle_power(case, whole, when, span))
    }
    known = [metric for metric in sides.values() if metric.value is not None]
    if not known:
        reason = "; ".join(f"{when}: {metric.reason}" for when, metric in sides.items()) or NOT_IDLE
        yield absent("idle_power_w", reason, formula=FORMULAS["idle_power_w"], scope=whole.scope)
        yield absent("energy_above_idle_j", reason, formula=FORMULAS["energy_above_idle_j"], scope=whole.scope)
        yield from sides.values()
        return
    idle = _mean_idle(known)
    yield idle
    yield _above_idle(case, whole, idle)
    yield from sides.values()


def _idle_spans(case: Case) -> dict[str, PhaseSpan]:
    """The run's idle phases, by whether they lie `before` or `after` its clock."""
    run_ns = run_window(case)
    assert run_ns is not None
    return {
        "before" if span.stop_ns <= run_ns[0] else "after": span for span in case.timeline.phases if span.name == IDLE
    }


def _idle_power(case: Case, whole: ScopeEnergy, when: str, span: PhaseSpan) -> Metric:
    dims = {"when": when}
    window = case.metered.answered(whole.scope, (span.start_ns, span.stop_ns))
    found = energy_of_scope(case, whole.scope, window, loaded=False) if window is not None else None
    if window is None or found is None:
        reason = "fewer than two samples of a device"
        return absent("idle_power_w", reason, formula=FORMULAS["idle_power_w"], scope=whole.scope, dims=dims)
    return power_metric("idle_power_w", found, window, dims=dims)


def _mean_idle(known: list[Metric]) -> Metric:
    values = [float(metric.value or 0.0) for metric in known]
    spreads = [metric.uncertainty for metric in known if metric.uncertainty is not None]
    drift = (max(values) - min(values)) / 2
    return known[0].model_copy(
        update={
            "dims": {},
            "value": sum(values) / len(values),
            "uncertainty": max(spreads) + drift if len(spreads) == len(known) else None,
            "sample_count": sum(metric.sample_count or 0 for metric in known),
            "window_ns": None if len(known) > 1 else known[0].window_ns,
        }
    )


def _above_idle(case: Case, whole: ScopeEnergy, idle: Metric) -> Metric:
    """The run's energy less idle power times its length; null where the run drew less."""
    name, formula, window = "energy_above_idle_j", FORMULAS["energy_above_idle_j"], run_window(case)
    assert window is not None and whole.energy_j is not None and idle.value is not None
    run_s = (window[1] - window[0]) / 1e9
    value = whole.energy_j - idle.value * run_s
    if value < 0:
        reason = f"the run drew {whole.energy_j / run_s:.4g} W, under the idle power of {idle.value:.4g} W"
        return absent(name, reason, formula=formula, scope=whole.scope)
    known = whole.uncertainty_j is not None and idle.uncertainty is not None
    spread = (whole.uncertainty_j or 0.0) + (idle.uncertainty or 0.0) * run_s if known else None
    return present(
        name, value, formula=formula, scope=whole.scope, status=whole.status("derived"), reason=whole.flag,
        uncertainty=spread, sample_count=whole.sample_count, window_ns=window,
    )  # fmt: skip


def attempt_metric(case: Case) -> Metric:
    """`energy_attempt_j`: all that was metered of an attempt, set-up included, however it ended; idle time left out."""
    name, timeline = "energy_attempt_j", case.timeline
    if timeline.restarts:
        reason = "the meters were opened anew at each restart, and what was drawn between is not known"
        return absent(name, reason, formula=FORMULAS[name], scope="run")
    working = [span for span in timeline.phases if span.name != IDLE]
    if not working:
        return absent(name, "the log names no phase", formula=FORMULAS[name], scope="run")
    bounds, reasons = (working[0].start_ns, working[-1].stop_ns), []
    for scope in WIDEST_FIRST:
        window = case.metered.answered(scope, bounds)
        found = energy_of_scope(case, scope, window) if window is not None else None
        if window is not None and found is not None and found.energy_j is not None:
            return energy_metric(name, found, window)
        if found is not None:
            reasons.append(f"{scope}: {found.reason}")
    reason = "; ".join(reasons or silent_meters(case)) or "no meter measured energy or power while the run worked"
    return absent(name, reason, formula=FORMULAS[name], scope="run")
