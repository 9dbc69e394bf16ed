"""Energy of processor packages through the kernel's powercap files (RAPL).

Only package zones are read: the zones inside one (cores, memory) are parts of it on some models and
not on others, so they are never added up.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from oildrop.harness.meters.empty import EmptyMeter
from oildrop.harness.meters.interface import Meter, MeterError, MeterInfo, Reading
from oildrop.rules.formulas.energy import counter_increment

ZONES = "sys/class/powercap"
UPDATE_PERIOD_S = 0.001
"""Source: Intel, Software Developer's Manual vol. 3B, chapter on RAPL: updated about once a millisecond."""

NO_ZONES = (
    "the kernel shows no powercap zones; they are absent in most virtual machines, elsewhere `modprobe intel_rapl_msr`"
)
NO_PERMISSION = "{path} may be read by root only; allow it with `sudo chmod a+r {path}` (until the next restart)"


class RaplMeter:
    """Meter of one package zone; `energy_j` counts from its opening, across wraps of the counter."""

    def __init__(self, zone: Path, device: str) -> None:
        """Read the counter once. Raises MeterError when it may not or cannot be read."""
        self._zone = zone
        self._device = device
        self._range_uj = _read(zone / "max_energy_range_uj")
        self._last_uj = _read(zone / "energy_uj")
        self._total_uj = 0

    def info(self) -> MeterInfo:
        """Measured: one that does not answer was never built."""
        return MeterInfo(
            name="rapl",
            status="measured",
            scope="package",
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
        return (Reading("energy_j", self._device, "package", self._total_uj / 1e6),)

    def close(self) -> None:
        """Nothing to let go."""


def open_rapl(root: Path = Path("/")) -> list[Meter]:
    """A meter for each package, or an empty one with the reason."""
    zones = package_zones(root)
    if not zones:
        return [EmptyMeter("rapl", NO_ZONES)]
    return [_open_zone(zone) for zone in zones]


def package_zones(root: Path) -> list[Path]:
    """Folders of the zones named `package-N`, in order of name."""
    folders = sorted((root / ZONES).glob("intel-rapl*:*"))
    return [folder for folder in folders if _zone_name(folder).startswith("package-")]


def _open_zone(zone: Path) -> Meter:
    name = _zone_name(zone)
    try:
        return RaplMeter(zone, name)
    except MeterError as error:
        return EmptyMeter("rapl", str(error), device=name)


def _zone_name(zone: Path) -> str:
    try:
        return (zone / "name").read_text().strip()
    except OSError:
        return ""


def _read(path: Path) -> int:
    try:
        return int(path.read_text())
    except PermissionError as error:
        raise MeterError(NO_PERMISSION.format(path=path)) from error
    except (OSError, ValueError) as error:
        raise MeterError(f"{path} cannot be read ({error})") from error
