"""Rules on what measures energy and power. They flag; a value that cannot be trusted is missing, not corrected."""

from __future__ import annotations

from collections.abc import Iterator

from oildrop.rules import keys
from oildrop.rules.checks.registry import Broken, Judged, broken, rule
from oildrop.rules.meter_doubts import Kind
from oildrop.rules.meter_words import REPLAY, REPLAYED


def found(judged: Judged, kind: Kind, fix: str) -> Iterator[Broken]:
    """A finding for each device whose energy between run_start and run_stop has this trouble."""
    case, timeline = judged.case, judged.case.timeline
    if timeline.run_start_ns is None or timeline.run_stop_ns is None:
        return
    window_ns = (timeline.run_start_ns, timeline.run_stop_ns)
    for scope in case.metered.by_scope:
        for device in case.metered.devices(scope, window_ns):
            for trouble in device.troubles:
                if trouble.kind == kind:
                    who = {"meter": device.meter, "device": device.device, "scope": scope}
                    message = f"{device.meter} ({scope} {device.device}): {trouble.message}"
                    yield broken(message, fix, **who, **trouble.evidence)


@rule("R060")
def answered_throughout(judged: Judged) -> Iterator[Broken]:
    """Every meter that measured energy or power covers the run without a wide gap."""
    yield from found(judged, "silent", "see that the meter keeps its permission and its connection, then repeat")


@rule("R061")
def counters_count(judged: Judged) -> Iterator[Broken]:
    """No energy counter stood still, went backward or gave what is no number."""
    fix = "the driver's counter cannot be trusted: update it, or measure with another meter"
    yield from found(judged, "counter", fix)


@rule("R062")
def sources_agree(judged: Judged) -> Iterator[Broken]:
    """Counter and integrated power of a device agree within 5 % and their uncertainties."""
    yield from found(judged, "sources", "compare both with an outside meter (docs/measure-power.md)")


@rule("R063")
def power_is_possible(judged: Judged) -> Iterator[Broken]:
    """Mean power between a thousandth of the device's limit and half above it."""
    yield from found(judged, "impossible", "look for the meter's unit: W, mW, J, mJ, µJ and nJ are all in use")


@rule("R064")
def not_in_step(judged: Judged) -> Iterator[Broken]:
    """No part-time power sensor keeps step with the load."""
    fix = "change the batch, so that a step takes another time, or measure with the device's counter"
    yield from found(judged, "in_step", fix)


@rule("R065")
def window_holds_updates(judged: Judged) -> Iterator[Broken]:
    """The run holds 50 updates of each meter, and the least window that it asks for."""
    yield from found(judged, "short", "run longer: a larger tier, or more requests")


@rule("R066")
def certificate_named(judged: Judged) -> Iterator[Broken]:
    """An outside meter names its certificate and its uncertainty."""
    for event in {str(event.meta.get("device")): event for event in judged.case.evidence.all(keys.METER)
                  if event.meta.get("scope") == "wall"}.values():  # fmt: skip
        missing = [name for name in ("certificate", "uncertainty") if not event.meta.get(name)]
        if missing:
            message = f"the outside meter {event.meta.get('device')} names no {' and no '.join(missing)}"
            fix = "write it into the meter's file (docs/measure-power.md); without it the reading is nobody's claim"
            yield broken(message, fix, device=event.meta.get("device"), missing=missing)


@rule(REPLAYED)
def no_replay(judged: Judged) -> Iterator[Broken]:
    """No meter of the run plays back a recorded trace."""
    devices = {str(event.meta.get("device")) for event in judged.case.evidence.all(keys.METER) if event.value == REPLAY}
    for device in sorted(devices):
        message = f"a recorded trace was played back for {device}: no meter measured it"
        yield broken(message, "unset OILDROP_REPLAY and run again", device=device)
