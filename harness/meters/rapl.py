"""Energy of processor packages, memory and platform through the kernel's powercap files (RAPL).

Zones are never added up: cores are a part of their package, memory is on some models and not on others, and what
`psys` covers is the board maker's choice. Each kind has a scope of its own; only packages make a headline.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from oildrop.harness.meters.empty import EmptyMeter
from oildrop.harness.meters.interface import Meter, MeterError, MeterInfo, Reading
from oildrop.rules.formulas.energy import counter_increment

ZONES = "sys/class/powercap"
UPDATE_PERIOD_S = 0.001
"""Source: Intel, Software Developer's Manual vol. 3B, chapter on RAPL: updated about once a millisecond."""

ZONE = "intel-rapl:*"
"""The zones by registers; `intel-rapl-mmio` shows the same packages once more."""

SCOPES = {"package": "package", "dram": "dram", "psys": "psys"}
"""Scope by the beginning of a zone's name; others (`core`, `uncore`) are parts of a package and are not read."""

NO_ZONES = (
    "the kernel shows no powercap zones; they are absent in most virtual machines, elsewhere `modprobe intel_rapl_msr`"
)
NO_PERMISSION = "{path} may be read by root only; allow it with `sudo chmod a+r {path}` (until the next restart)"


class RaplMeter:
    """Meter of one zone; `energy_j` counts from its opening, across wraps of the counter."""

    def __init__(self, zone: Path, device: str, scope: str = "package") -> None:
        """Read the counter once. Raises MeterError when it may not or cannot be read."""
        self._zone = zone
        self._device = device
        self._scope = scope
        self._range_uj = _read(zone / "max_energy_range_uj")
        self._last_uj = _read(zone / "energy_uj")
        self._total_uj = 0

    def info(self) -> MeterInfo:
        """Measured: one that does not answer was never built."""
        return MeterInfo(
            name="rapl",
            status="measured",
            scope=self._scope,
            method="powercap energy counter",
            device=self._device,
            update_period_s=UPDATE_PERIOD_S,
        )

    def sample(self) -> Sequence[Reading]:
        """Joules since the meter was opened. Raises MeterError when the counter jumped or cannot be read."""
        now_uj = _read(self._zone / "energy_uj")
        increment_uj = counter_increment(self._last_uj, now_uj, self._range_uj)
        if increment_uj is None:
            raise MeterError(f"the counter went from {self._last_uj} to {now_uj} µJ: no wrap at {self._range_uj} µJ")
        self._total_uj += increment_uj
        self._last_uj = now_uj
        return (Reading("energy_j", self._device, self._scope, self._total_uj / 1e6),)

    def close(self) -> None:
        """Nothing to let go."""


def open_rapl(root: Path = Path("/")) -> list[Meter]:
    """A meter for each package, then for memory and platform, or an empty one with the reason."""
    found = sorted(_zones(root), key=lambda zone: list(SCOPES).index(zone[1]))
    if not found:
        return [EmptyMeter("rapl", NO_ZONES)]
    return [_open_zone(*zone) for zone in found]


def package_zones(root: Path) -> list[Path]:
    """Folders of the zones named `package-N`, in order of name."""
    return [folder for folder, scope, _ in _zones(root) if scope == "package"]


def _zones(root: Path) -> list[tuple[Path, str, str]]:
    """Folder, scope and device of each zone that is read; memory is named with its package."""
    found = []
    for folder in sorted((root / ZONES).glob(ZONE)):
        name = _zone_name(folder)
        scope = next((scope for start, scope in SCOPES.items() if name.startswith(start)), None)
        if scope is not None:
            inner = folder.name.count(":") > 1
            within = _zone_name(folder.parent / folder.name.rpartition(":")[0]) if inner else ""
            found.append((folder, scope, f"{within}/{name}" if within else name))
    return found


def _open_zone(zone: Path, scope: str, device: str) -> Meter:
    try:
        return RaplMeter(zone, device, scope)
    except MeterError as error:
        return EmptyMeter("rapl", str(error), device=device)


def _zone_name(zone: Path) -> str:
    try:
        return (zone / "name").read_text().strip()
    except OSError:
        return ""


def _read(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            return int(os.read(descriptor, 64))
        finally:
            os.close(descriptor)
    except PermissionError as error:
        raise MeterError(NO_PERMISSION.format(path=path)) from error
    except (OSError, ValueError) as error:
        raise MeterError(f"{path} cannot be read ({error})") from error
