"""The long-term power limit of the processor packages."""

from __future__ import annotations

from oildrop.harness.meters.rapl import package_zones
from oildrop.harness.system.source import Gaps, Host


def read_power_cap(host: Host, gaps: Gaps) -> float | None:
    """Sum of the packages' long-term limits in watts; None when one of them is unknown."""
    zones = [str(zone.relative_to(host.root)) for zone in package_zones(host.root)]
    limits_uw = [_long_term_uw(host, zone) for zone in zones]
    if not zones:
        return gaps.known("power_cap_w", None, "the kernel shows no powercap zones")
    if None in limits_uw:
        return gaps.known("power_cap_w", None, "a processor package sets or shows no long-term limit")
    return sum(limit for limit in limits_uw if limit is not None) / 1e6


def _long_term_uw(host: Host, zone: str) -> int | None:
    for name in host.matches(f"{zone}/constraint_[0-9]_name"):
        if host.text(name) == "long_term":
            return host.integer(f"{name.removesuffix('_name')}_power_limit_uw") or None
    return None
