"""A run's roofline: what it did, and what its arithmetic intensity would have allowed under each ceiling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from oildrop.rules.ceilings import Ceilings
from oildrop.rules.measures.served_traffic import DECODE_INTENSITY
from oildrop.rules.peaks import part_of, stated_bytes_per_s, stated_flop_per_s
from oildrop.rules.records import Metric, RunSpec
from oildrop.rules.rulebook import Rulebook
from oildrop.rules.system import System


@dataclass(frozen=True, kw_only=True)
class Roof:
    """Ceilings of one device from one source; one of them may be missing.

    Attributes:
        source: `stated` by the vendor, or `measured` by a calibration.
    """

    source: str
    flop_per_s: float | None
    bytes_per_s: float | None

    def attainable_flop_per_s(self, intensity: float) -> float | None:
        """The lower of both at `intensity` FLOP/byte (`roofline/1`); None unless both are known.

        Source: Williams, Waterman and Patterson, "Roofline", CACM 52(4), 2009, figure 1.
        """
        if self.flop_per_s is None or self.bytes_per_s is None:
            return None
        return min(self.flop_per_s, intensity * self.bytes_per_s)


@dataclass(frozen=True, kw_only=True)
class Roofline:
    """One device's point, in FLOP/byte and FLOP/s, and the roofs above it; one of them at least.

    Attributes:
        decoding: Whether the point is of a served model's decoding alone, and not of all that the run did.
    """

    intensity: float
    flop_per_s: float
    roofs: tuple[Roof, ...]
    decoding: bool = False

    @property
    def exceeded(self) -> tuple[str, ...]:
        """Sources of the bandwidths under which the point cannot lie if all its bytes come from memory."""
        return tuple(
            roof.source
            for roof in self.roofs
            if roof.bytes_per_s is not None and self.flop_per_s > self.intensity * roof.bytes_per_s
        )


def roofline_of(
    spec: RunSpec, system: System | None, headlines: Mapping[str, Metric], rulebook: Rulebook, ceilings: Ceilings | None
) -> Roofline | None:
    """The run's roofline; None where its intensity or rate is not known, or nothing stands above it."""
    point = _point(headlines)
    if point is None:
        return None
    intensity, rate, decoding = point
    dtype = str(spec.settings.get("execution.dtype"))
    roofs = []
    part = part_of(system, spec.backend, rulebook)
    if part is not None:
        flop_per_s, bytes_per_s = stated_flop_per_s(part, system, dtype), stated_bytes_per_s(part, system)
        roofs.append(Roof(source="stated", flop_per_s=flop_per_s, bytes_per_s=bytes_per_s))
    if ceilings is not None:
        flop_per_s, bytes_per_s = ceilings.flop_per_s.get(dtype), ceilings.read_bytes_per_s
        roofs.append(Roof(source="measured", flop_per_s=flop_per_s, bytes_per_s=bytes_per_s))
    known = tuple(roof for roof in roofs if roof.flop_per_s or roof.bytes_per_s)
    # The devices of a processor's run are its processes, which share its cores.
    devices = 1 if spec.backend.endswith("-cpu") else int(spec.settings.get("execution.devices", 1))
    if not known:
        return None
    return Roofline(intensity=intensity, flop_per_s=rate / devices, roofs=known, decoding=decoding)


def _point(headlines: Mapping[str, Metric]) -> tuple[float, float, bool] | None:
    """FLOP/byte, FLOP/s of all devices, and whether they are of decoding alone; None where one is not known."""
    intensity = headlines.get("arithmetic_intensity_flop_per_byte")
    if intensity is None or not intensity.value:
        return None
    decoding = intensity.formula == DECODE_INTENSITY
    rate = headlines.get("decode_read_bytes_per_s" if decoding else "model_flop_per_s")
    if rate is None or not rate.value:
        return None
    return intensity.value, rate.value * (intensity.value if decoding else 1), decoding
