"""What the meters of a run said of themselves: limits, periods, doubts, and when each was opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from oildrop.rules import keys
from oildrop.rules.evidence import Evidence

REPLAY = "replay"
"""Name of the meter that plays back a recorded trace: nothing that it gives is a measurement."""

REPLAYED = "R067"
"""The rule that finds one."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """What a meter said of one device over the run.

    Attributes:
        update_period_s: Time between two updates, seconds; None where nobody knows.
        seen_fraction: Share of the time that its power sensor sees; None where it is not known to miss any.
        least_window_s: Shortest window that its values are good for, seconds.
        power_limit_w: What the device can draw at most, watts.
        uncertainty: The sensor's own, as a share of the value; None where its maker or certificate names none.
        modelled: Whether its values are worked out from activity, not measured.
        stopped: Why it stopped answering; None while it answers.
        opened_ns: When it was opened, in order: a counter need not go on from one opening to the next.
    """

    update_period_s: float | None = None
    seen_fraction: float | None = None
    least_window_s: float | None = None
    power_limit_w: float | None = None
    uncertainty: float | None = None
    modelled: bool = False
    stopped: str | None = None
    opened_ns: tuple[int, ...] = ()


def words_of(evidence: Evidence, meter: str, device: str) -> Words:
    """Everything said of `device` by `meter`, the newest word last."""
    events = [
        event
        for event in evidence.all(keys.METER)
        if str(event.value) == meter and event.meta.get("device") in (device, None)
    ]
    said = [event.meta for event in events]
    accelerators = evidence.system.accelerators if evidence.system is not None else ()
    limits = [a.power_limit_w for a in accelerators if a.device_id == device and a.power_limit_w]
    return Words(
        update_period_s=_last(said, "update_period_s"),
        seen_fraction=_last(said, "seen_fraction"),
        least_window_s=_last(said, "least_window_s"),
        power_limit_w=limits[0] if limits else _last(said, "power_limit_w"),
        uncertainty=_last(said, "uncertainty"),
        modelled=any(meta.get("status") == "modelled" for meta in said),
        stopped=str(said[-1].get("reason")) if said and said[-1].get("status") == "not_measured" else None,
        opened_ns=tuple(
            event.t_ns
            for event in events
            if event.meta.get("status") != "not_measured" and not event.meta.get("sample_count")
        ),
    )


def _last(said: Sequence[dict[str, Any]], name: str) -> float | None:
    """The last positive number that was said under a name; None where none was."""
    values = [meta.get(name) for meta in said]
    numbers = [float(value) for value in values if isinstance(value, int | float) and value > 0]
    return numbers[-1] if numbers else None
