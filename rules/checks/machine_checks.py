"""Rules on the machine: neighbours, load, steal, throttling, impossible rates. They flag, never delete."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from oildrop.rules import keys
from oildrop.rules.checks.registry import Broken, Judged, broken, rule

LOAD_LIMIT = 0.5
STEAL_LIMIT = 0.02
OVERHEAD_LIMIT = 0.02
SPREAD_LIMIT = 0.25


def host_state(judged: Judged, when: str) -> dict[str, Any]:
    """What was noted of the host `before` or `after` the run; {} where nothing was."""
    for event in judged.case.evidence.all(keys.HOST_STATE):
        if event.value == when:
            return event.meta
    return {}


@rule("R020")
def alone_on_device(judged: Judged) -> Iterator[Broken]:
    """No other run on the same device, but for one that was declared to be beside it."""
    for event in judged.case.evidence.all(keys.OTHER_RUN):
        if event.value == judged.case.evidence.spec.beside_run_id:
            continue
        message = f"run {event.value} used the same device at the same time"
        yield broken(message, "let one run end before the next; repeat both", other_run=event.value)


@rule("R021")
def quiet_before(judged: Judged) -> Iterator[Broken]:
    """Load average before the run at most half the cores."""
    load, system = host_state(judged, "before").get("load_1m"), judged.case.evidence.system
    if isinstance(load, int | float) and system is not None:
        share = load / system.cpu.usable_cores
        if share > LOAD_LIMIT:
            message = (
                f"load average {load:.2f} on {system.cpu.usable_cores} cores before the run; at most half the cores"
            )
            yield broken(message, "end other work and repeat the run", load_1m=load)


@rule("R022")
def little_stolen(judged: Judged) -> Iterator[Broken]:
    """At most 2 % of processor time stolen by the hypervisor."""
    system = judged.case.evidence.system
    for series in judged.case.evidence.series:
        if series.quantity != "steal_s" or len(series.values) < 2 or system is None:
            continue
        wall_s = (series.t_ns[-1] - series.t_ns[0]) / 1e9
        if wall_s <= 0:
            continue
        share = (series.values[-1] - series.values[0]) / (wall_s * system.cpu.logical_cores)
        if share > STEAL_LIMIT:
            message = f"{share:.1%} of processor time went to other guests of this host; at most {STEAL_LIMIT:.0%}"
            yield broken(message, "use a dedicated machine, or repeat when the host is quiet", steal_fraction=share)


@rule("R023")
def no_throttling(judged: Judged) -> Iterator[Broken]:
    """The count of throttling events did not rise."""
    before = host_state(judged, "before").get("throttle_count")
    after = host_state(judged, "after").get("throttle_count")
    if isinstance(before, int) and isinstance(after, int) and after > before:
        message = f"the processor throttled {after - before} times during the run"
        yield broken(message, "cool the machine or lower its power cap, then repeat", count=after - before)


@rule("R025")
def at_most_peak(judged: Judged) -> Iterator[Broken]:
    """MFU, HFU, MBU at most 1."""
    for name in ("mfu", "hfu", "mbu"):
        metric = judged.metrics.get(name)
        if metric is not None and metric.value is not None and metric.value > 1:
            message = f"{name} is {metric.value:.2f}; nothing runs above its dense peak"
            yield broken(
                message, "check the device's row in devices.toml and the declared dtype", **{name: metric.value}
            )


@rule("R026")
def harness_is_light(judged: Judged) -> Iterator[Broken]:
    """The harness's own cost at most 2 % of the run."""
    metric = judged.metrics.get("harness_overhead_fraction")
    if metric is not None and metric.value is not None and metric.value > OVERHEAD_LIMIT:
        message = f"the harness used {metric.value:.1%} of the run; at most {OVERHEAD_LIMIT:.0%}"
        yield broken(
            message, "close other programs; on a single core the meters compete with the run", share=metric.value
        )


@rule("R090")
def ceilings_repeat(judged: Judged) -> Iterator[Broken]:
    """Of each ceiling the slowest repeat at most 25 % under the fastest."""
    metric = judged.metrics.get("repeat_spread_fraction")
    if metric is not None and metric.value is not None and metric.value > SPREAD_LIMIT:
        message = f"the slowest repeat of a ceiling is {metric.value:.0%} under the fastest; at most {SPREAD_LIMIT:.0%}"
        yield broken(message, "end other work, let the machine cool, and calibrate again", spread=metric.value)
