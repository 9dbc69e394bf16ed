"""What every meter offers: who it is, one reading of everything, an end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from oildrop.rules.errors import OildropError

MeterState = Literal["measured", "modelled", "not_measured"]


class MeterError(OildropError):
    """A meter no longer answers; the message becomes its `reason`."""


class Reading(NamedTuple):
    """One value in the SI unit that `quantity` ends in.

    Cumulative quantities (`energy_j`, `cpu_s`, `busy_s`, `steal_s`) count from the meter's opening
    or earlier: only their differences mean something.
    """

    quantity: str
    device: str
    scope: str
    value: float


@dataclass(frozen=True, kw_only=True)
class MeterInfo:
    """What a meter says of itself.

    Attributes:
        name: Its kind, such as `process`, `nvidia`, `rapl`; with `device` it is unique in a run.
        status: `modelled` where its vendor works power out from activity.
        reason: Why it does not measure, with what would mend it; None while it measures.
        scope: What its energy or its first quantity covers: `process`, `device`, `package`, `soc`, `node`, `wall`;
            `dram` and `psys` are kept and never a headline.
        method: How it measures, in words.
        device: Salted device id, or a name such as `worker` or `package-0`.
        update_period_s: Time between two updates at the source, seconds; None where the vendor does not say.
        pollable: Whether each sample asks the source anew, so that its update period can be found by asking quickly.
        seen_fraction: Share of the time that its power sensor sees; None where it is not known to miss any.
        least_window_s: Shortest window that its values are good for, seconds.
        power_limit_w: What it can read, or its device draw, at most, watts.
        uncertainty: The sensor's own, as a share of the value.
        certificate: Of its calibration.
    """

    name: str
    status: MeterState
    reason: str | None = None
    scope: str | None = None
    method: str | None = None
    device: str | None = None
    update_period_s: float | None = None
    pollable: bool = False
    seen_fraction: float | None = None
    least_window_s: float | None = None
    power_limit_w: float | None = None
    uncertainty: float | None = None
    certificate: str | None = None


class Meter(Protocol):
    """One instrument bound to one device."""

    def info(self) -> MeterInfo:
        """Who it is and whether it measures."""

    def sample(self) -> Sequence[Reading]:
        """Read everything once; what is unknown now is left out. Raises MeterError when it stopped answering."""

    def close(self) -> None:
        """Let the device go; a second call does nothing."""
