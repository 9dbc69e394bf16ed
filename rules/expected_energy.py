"""What energy one success of a configuration costs, the failed attempts counted; pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from oildrop.rules.records import Record
from oildrop.rules.statistics import expected_energy_to_success_j


class ExpectedEnergy(Record):
    """Joules a success at one scope; None with a reason where an attempt's energy is unknown or scopes differ."""

    value_j: float | None
    scope: str | None
    reason: str | None


def expected_energy(attempts: Sequence[tuple[float | None, str | None]], successes: int) -> ExpectedEnergy:
    """All energy over successes.

    Args:
        attempts: Of every counted attempt, however it ended, its gross energy in joules and what that covers.
    """
    if not attempts:
        return _unknown("no run counts")
    if not successes:
        return _unknown("no run succeeded, so no energy to success can be expected")
    known = [energy_j for energy_j, _ in attempts if energy_j is not None]
    if len(known) < len(attempts):
        return _unknown(f"{len(attempts) - len(known)} of {len(attempts)} runs have no measured energy")
    scopes = sorted({str(scope) for _, scope in attempts})
    if len(scopes) > 1:
        return _unknown(f"the runs' energies cover {' and '.join(scopes)}, and scopes are never added")
    return ExpectedEnergy(value_j=expected_energy_to_success_j(known, successes), scope=scopes[0], reason=None)


def say_energies(labels: tuple[str, str], found: tuple[ExpectedEnergy, ExpectedEnergy]) -> str | None:
    """What a success costs on each side, and how they compare where they may be; None where neither is known."""
    a, b = found
    if a.value_j is None and b.value_j is None:
        return None
    words = ", ".join(
        f"{label}: " + (f"{one.value_j:.4g} J ({one.scope})" if one.value_j is not None else f"unknown ({one.reason})")
        for label, one in zip(labels, found, strict=True)
    )
    text = f"Energy a success costs, failed runs counted: {words}"
    if a.value_j is None or b.value_j is None:
        return text
    if a.scope != b.scope:
        return f"{text}; different scopes cannot be compared"
    if not b.value_j:
        return text
    return f"{text}; {labels[0]} over {labels[1]} {a.value_j / b.value_j:.3g}, of which no interval is claimed"


@lru_cache(maxsize=64)
def _unknown(reason: str) -> ExpectedEnergy:
    return ExpectedEnergy(value_j=None, scope=None, reason=reason)
