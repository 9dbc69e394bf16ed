"""Rules on what a machine did to a run: canary, other programs, heat, caps, clocks. They flag, never delete."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from oildrop.rules import keys
from oildrop.rules.checks.machine_checks import host_state
from oildrop.rules.checks.registry import Broken, Judged, broken, rule
from oildrop.rules.evidence import Series
from oildrop.rules.formulas.steady import Trend, trend
from oildrop.rules.steady_rates import rates_of
from oildrop.rules.system import saves_power
from oildrop.rules.throttling import HOT_BITS, throttle_names

CANARY_LIMIT = 1.10
OTHERS_LIMIT = 0.10
HOT_LIMIT = 0.01
CLOCK_LIMIT = 0.90
CAP_TOLERANCE = 0.005
ENDPOINT = "endpoint"


@rule("R080")
def canary_keeps_pace(judged: Judged) -> Iterator[Broken]:
    """No look at the canary over 10 % above another one of the same run, or above what is usual."""
    looks: dict[tuple[str, str, str], list[float]] = {}
    unusual: list[Broken] = []
    for event in judged.case.evidence.all(keys.CANARY):
        if isinstance(event.value, int | float) and event.value > 0:
            where = (event.proc, str(event.meta.get("place")), str(event.meta.get("work")))
            looks.setdefault(where, []).append(event.value)
            unusual += _unusual(event.value, event.meta)
    yield from sorted(unusual, key=lambda found: -found.evidence["ratio"])[:1]
    for (_, place, _), seconds in looks.items():
        ratio = max(seconds) / min(seconds)
        if ratio > CANARY_LIMIT:
            when = "after" if seconds[-1] == max(seconds) else "before"
            message = f"the {place}'s canary took {ratio - 1:.0%} longer {when} the run than at its best; at most 10 %"
            fix = "see what else ran, and whether it was hot (oildrop doctor); repeat the run"
            yield broken(message, fix, place=place, ratio=ratio, seconds=seconds)


def _unusual(seconds: float, meta: dict[str, Any]) -> Iterator[Broken]:
    usual_s, runs = meta.get("usual_s"), meta.get("usual_runs")
    if not isinstance(usual_s, int | float) or usual_s <= 0 or seconds <= CANARY_LIMIT * usual_s:
        return
    message = (
        f"{meta.get('when')} the run the {meta.get('place')}'s canary took {seconds / usual_s - 1:.0%} longer than "
        f"usual here ({runs} earlier runs); at most 10 %"
    )
    yield broken(message, "find out what has changed on this machine, then repeat", ratio=seconds / usual_s, runs=runs)


@rule("R081")
def processors_left_alone(judged: Judged) -> Iterator[Broken]:
    """At most a tenth of all processor time went to programs outside the run."""
    system, spec = judged.case.evidence.system, judged.case.evidence.spec
    if system is None or spec.backend == ENDPOINT or spec.beside_run_id is not None:
        return
    busy, own = (_growth(judged, device, quantity) for device, quantity in (("cpu", "busy_s"), ("worker", "cpu_s")))
    if busy is None or own is None:
        return
    share = (busy[0] - own[0] * busy[1] / own[1]) / (busy[1] * system.cpu.logical_cores)
    if share > OTHERS_LIMIT:
        message = f"programs outside the run used {share:.0%} of processor time meanwhile; at most {OTHERS_LIMIT:.0%}"
        yield broken(message, "end other work and repeat the run", other_cpu_fraction=share)


def _growth(judged: Judged, device: str, quantity: str) -> tuple[float, float] | None:
    """By how much a counter grew between its first and last sample on the clock, and in how many seconds."""
    for series in judged.case.evidence.series:
        if (series.meter, series.device, series.quantity) == ("process", device, quantity):
            inside = _inside(judged, series)
            if len(inside) > 1 and inside[-1][0] > inside[0][0]:
                return inside[-1][1] - inside[0][1], (inside[-1][0] - inside[0][0]) / 1e9
    return None


def _inside(judged: Judged, series: Series) -> list[tuple[int, float]]:
    """Stamps and values of a series between run_start and run_stop; [] for a run without them."""
    timeline = judged.case.timeline
    if timeline.run_start_ns is None or timeline.run_stop_ns is None:
        return []
    pairs = zip(series.t_ns, series.values, strict=True)
    return [(t_ns, value) for t_ns, value in pairs if timeline.run_start_ns <= t_ns <= timeline.run_stop_ns]


def _sampled(judged: Judged, *quantities: str) -> Iterator[tuple[Series, list[float]]]:
    """Each series of these quantities with its values on the clock, where it has any."""
    for series in judged.case.evidence.series:
        values = [value for _, value in _inside(judged, series)] if series.quantity in quantities else []
        if values:
            yield series, values


@rule("R082")
def accelerator_left_alone(judged: Judged) -> Iterator[Broken]:
    """No compute process on an accelerator but the run's own."""
    fix = "stop them, or choose a free device, and repeat the run"
    declared = 0 if judged.case.evidence.spec.beside_run_id is None else 1
    for when in ("before", "after"):
        count = host_state(judged, when).get("accelerator_processes")
        if isinstance(count, int) and count > declared:
            message = f"{when} the run {count} compute processes were on this machine's accelerators"
            yield broken(message, fix, when=when, processes=count)
    if declared:
        return
    own = [event.meta.get("device_ids", ()) for event in judged.case.evidence.all(keys.PROCESS)]
    for series, values in _sampled(judged, "process_count"):
        most = max(values)
        ours = sum(series.device in devices for devices in own)
        if most > ours > 0:
            message = f"up to {most:.0f} compute processes were on a device of which the run has {ours}"
            yield broken(message, fix, device=series.device, processes=most, own=ours)


@rule("R083")
def not_held_back_by_heat(judged: Judged) -> Iterator[Broken]:
    """In at most 1 % of samples did heat or a hardware limit hold an accelerator's clocks down."""
    for series, values in _sampled(judged, "throttle_bits"):
        hot = [int(value) & HOT_BITS for value in values if int(value) & HOT_BITS]
        share = len(hot) / len(values)
        if share > HOT_LIMIT:
            reasons = sorted({name for bits in hot for name in throttle_names(bits)})
            message = f"in {share:.0%} of samples the accelerator was held back by {', '.join(reasons)}; at most 1 %"
            fix = "look at its cooling and its power supply, then repeat"
            yield broken(message, fix, device=series.device, share=share, reasons=reasons)


@rule("R084")
def power_cap_stayed(judged: Judged) -> Iterator[Broken]:
    """Every power cap is after the run what it was before."""
    before, after = _caps(judged, "before"), _caps(judged, "after")
    for name in before.keys() & after.keys():
        if abs(after[name] - before[name]) > CAP_TOLERANCE * before[name]:
            message = f"the power cap of {name} was {before[name]:g} W before the run and {after[name]:g} W after it"
            yield broken(
                message, "let it alone while a run goes on, and repeat", before_w=before[name], after_w=after[name]
            )


@rule("R085")
def power_cap_is_the_makers(judged: Judged) -> Iterator[Broken]:
    """No accelerator runs under less than its maker's power limit."""
    defaults = _numbers(host_state(judged, "before").get("accelerator_default_limits_w"))
    caps = _numbers(host_state(judged, "before").get("accelerator_power_limits_w"))
    for index in caps.keys() & defaults.keys():
        if caps[index] < defaults[index] * (1 - CAP_TOLERANCE):
            message = f"accelerator {index} was capped at {caps[index]:g} W; its maker's limit is {defaults[index]:g} W"
            fix = "nothing, if this is what was to be measured; else `sudo nvidia-smi -pl WATTS` or amd-smi's like"
            yield broken(message, fix, power_limit_w=caps[index], default_limit_w=defaults[index])


def _caps(judged: Judged, when: str) -> dict[str, float]:
    """Power caps in watts by whose they are; only those that are known."""
    state = host_state(judged, when)
    caps = {f"accelerator {i}": cap for i, cap in _numbers(state.get("accelerator_power_limits_w")).items()}
    processors = _numbers([state.get("power_cap_w")])
    return caps | ({"the processors": processors[0]} if processors else {})


def _numbers(values: Any) -> dict[int, float]:
    """The positive numbers of a list by their place in it; {} for anything else."""
    found = enumerate(values) if isinstance(values, list) else ()
    return {index: float(value) for index, value in found if isinstance(value, int | float) and value > 0}


@rule("R086")
def clock_held(judged: Judged) -> Iterator[Broken]:
    """An accelerator's clock in the last third of the run at least 90 % of that in the first."""
    for series, values in _sampled(judged, "sm_clock_hz", "gpu_clock_hz"):
        third = len(values) // 3
        if third < 3:
            continue
        first, last = statistics.median(values[:third]), statistics.median(values[-third:])
        if first > 0 and last < CLOCK_LIMIT * first:
            message = (
                f"the accelerator's clock fell from {first / 1e6:.0f} MHz in the first third of the run to "
                f"{last / 1e6:.0f} MHz in the last; at least {CLOCK_LIMIT:.0%} of it"
            )
            fix = "let it warm up longer before the run, or cool it better"
            yield broken(message, fix, device=series.device, ratio=last / first)


@rule("R087")
def clock_may_rise(judged: Judged) -> Iterator[Broken]:
    """Neither a power-saving governor nor a battery."""
    for when in ("before", "after"):
        state = host_state(judged, when)
        if state.get("on_battery") is True:
            yield broken(f"the machine ran on battery {when} the run", "plug it in and repeat", when=when)
    state = host_state(judged, "before")
    if saves_power(state.get("governor"), state.get("frequency_driver")):
        message = f"the governor {state['governor']} keeps the processor's clock low"
        fix = "sudo cpupower frequency-set -g performance"
        yield broken(message, fix, governor=state["governor"], frequency_driver=state.get("frequency_driver"))


@rule("R088")
def throughput_steady(judged: Judged) -> Iterator[Broken]:
    """After warm-up the rate of work changes by at most 5 % from the first to the last third, beyond chance."""
    for what, rates in rates_of(judged.case):
        found = trend(rates)
        if found is not None:
            yield broken(
                _trend_sentence(what, found), _trend_fix(found), ratio=found.ratio, p=found.p, rates=len(rates)
            )


def _trend_sentence(what: str, found: Trend) -> str:
    way = "still warming up" if found.ratio > 1 else "slowing down"
    return f"{what} was {way}: in the last third of the run {found.ratio:.2f} of that in the first (p = {found.p:.1g})"


def _trend_fix(found: Trend) -> str:
    if found.ratio > 1:
        return "let the machine settle (clocks, caches, compilation) before the run, or run longer"
    return "look for heat, memory that fills up, and other programs; repeat the run"
