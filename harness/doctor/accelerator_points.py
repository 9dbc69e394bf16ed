"""What would spoil a run on an accelerator; asked only where there is one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from oildrop.harness.doctor.point import Point, Status, Trouble
from oildrop.harness.doctor.snapshot import AcceleratorNow, Snapshot
from oildrop.rules.checks.trust_checks import CAP_TOLERANCE
from oildrop.rules.throttling import HOT_BITS, throttle_names

NEAR_SLOWDOWN_CELSIUS = 10.0
SET_BY_HAND = 0x2

Text = Callable[[AcceleratorNow], str | None]
Test = Callable[[AcceleratorNow], bool]


def _evidence(text: Text, snapshot: Snapshot) -> str | None:
    """The words of each device that has some, under its number."""
    told = [(number, text(device)) for number, device in enumerate(snapshot.accelerators)]
    return "; ".join(f"device {number}: {words}" for number, words in told if words is not None) or None


def _any(test: Test, snapshot: Snapshot) -> bool:
    return any(test(device) for device in snapshot.accelerators)


def _point(name: str, text: Text, good: str, *troubles: tuple[Test, str, str] | tuple[Test, str, str, Status]) -> Point:
    """A point over all devices: trouble of one is trouble."""
    rows = [
        Trouble(holds=partial(_any, test), what=what, fix=fix, status=status[0] if status else "warn")
        for test, what, fix, *status in troubles
    ]
    unread = ("No accelerator's driver tells it.", f"{name.replace('-', ' ')}: no answer", "")
    return Point(id=name, evidence=partial(_evidence, text), good=good, troubles=tuple(rows), unread=unread)


def _switch(value: bool | None) -> str | None:
    return None if value is None else "on" if value else "off"


def _capped(a: AcceleratorNow) -> bool:
    caps = (a.power_limit_w, a.default_power_limit_w)
    return None not in caps and caps[0] < caps[1] * (1 - CAP_TOLERANCE)  # type: ignore[operator]


def _caps(a: AcceleratorNow) -> str | None:
    if a.power_limit_w is None:
        return None
    makers = "" if a.default_power_limit_w is None else f" (maker's limit {a.default_power_limit_w:g} W)"
    return f"{a.power_limit_w:g} W{makers}"


def _temperature(a: AcceleratorNow) -> str | None:
    if a.temperature_celsius is None:
        return None
    limit = "" if a.slowdown_celsius is None else f", slows itself at {a.slowdown_celsius:g} °C"
    return f"{a.temperature_celsius:g} °C{limit}"


def _hot(a: AcceleratorNow) -> bool:
    known = a.temperature_celsius is not None and a.slowdown_celsius is not None
    return known and a.temperature_celsius > a.slowdown_celsius - NEAR_SLOWDOWN_CELSIUS  # type: ignore[operator]


ACCELERATOR_POINTS = (
    _point(
        "accelerator-use",
        lambda a: None if a.compute_processes is None else f"{a.compute_processes} compute processes",
        "The accelerators are free.",
        (
            lambda a: bool(a.compute_processes),
            "Other programs compute on an accelerator: a run would be flagged (R082).",
            "Stop them, or choose a free device with CUDA_VISIBLE_DEVICES.",
        ),
    ),
    _point(
        "accelerator-clocks",
        lambda a: (
            None if a.throttle_bits is None else ", ".join(throttle_names(a.throttle_bits)) or "nothing holds them"
        ),
        "Nothing holds an accelerator's clocks down.",
        (
            lambda a: bool((a.throttle_bits or 0) & HOT_BITS),
            "Heat or a hardware limit holds an accelerator's clocks down: a run would be flagged (R083).",
            "Look at its cooling and its power supply.",
            "bad",
        ),
        (
            lambda a: bool((a.throttle_bits or 0) & SET_BY_HAND),
            "An accelerator's clocks were set by hand.",
            "Nothing, if this is what is to be measured; else `sudo nvidia-smi -rgc`.",
        ),
    ),
    _point(
        "accelerator-heat",
        _temperature,
        "No accelerator is hot.",
        (
            _hot,
            f"An accelerator is within {NEAR_SLOWDOWN_CELSIUS:g} °C of where it slows itself down.",
            "Let it cool, and look at its fans and the air around it.",
        ),
    ),
    _point(
        "power-cap",
        _caps,
        "No accelerator is capped under its maker's limit.",
        (
            _capped,
            "An accelerator is capped under its maker's limit: it is another configuration (R085).",
            "Nothing, if this is what is to be measured; else `sudo nvidia-smi -pl WATTS`, or amd-smi's like.",
        ),
    ),
    _point(
        "clock-offset",
        lambda a: None if a.clock_offset_hz is None else f"{a.clock_offset_hz / 1e6:+g} MHz",
        "No accelerator's clock was moved.",
        (
            lambda a: bool(a.clock_offset_hz),
            "An accelerator's clock was moved off its maker's.",
            "Set the offset back to 0 (nvidia-settings, or whatever moved it), or say so with --note.",
        ),
    ),
    _point(
        "persistence-mode",
        lambda a: _switch(a.persistence_mode),
        "The driver stays loaded between runs.",
        (
            lambda a: a.persistence_mode is False,
            "The driver lets go of an accelerator that nobody uses: set-up takes longer, settings are forgotten.",
            "sudo nvidia-smi -pm 1",
        ),
    ),
    _point(
        "ecc",
        lambda a: _switch(a.ecc_mode),
        "Memory errors are corrected, or the device does not offer it.",
        (
            lambda a: a.ecc_mode is False,
            "Error correction is off where the device has it: memory is faster, and errors go unseen.",
            "sudo nvidia-smi -e 1, then restart; or say so with --note.",
        ),
    ),
    _point(
        "mig",
        lambda a: _switch(a.mig_mode),
        "No accelerator is partitioned.",
        (
            lambda a: a.mig_mode is True,
            "An accelerator is partitioned (MIG): others may share it, and its energy is not measured.",
            "sudo nvidia-smi -mig 0, if it is yours.",
        ),
    ),
)
