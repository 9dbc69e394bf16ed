"""What the table of peaks says of the device that a run used: of all that is there, or of its share."""

from __future__ import annotations

from oildrop.rules.rulebook import DevicePeaks, Rulebook
from oildrop.rules.system import System


def device_model(system: System | None, backend: str) -> str | None:
    """How the driver, or the processor, calls what `backend` runs on; None where nobody says."""
    if system is None:
        return None
    if backend.endswith("-cpu"):
        return system.cpu.model
    return system.accelerators[0].model if system.accelerators else None


def part_of(system: System | None, backend: str, rulebook: Rulebook) -> DevicePeaks | None:
    """The table's row of it; None where it has none."""
    model = device_model(system, backend)
    return None if model is None else rulebook.peaks_of(model)


def parts_there(part: DevicePeaks, system: System | None) -> float | None:
    """How much of `part` one device is: 1 of an accelerator; of a processor the machine's cores over those of a socket.

    None where nobody says how many cores there are.
    """
    if part.cores is None:
        return 1.0
    cores = system.cpu.physical_cores if system else None
    return cores / part.cores if cores else None


def stated_flop_per_s(part: DevicePeaks, system: System | None, dtype: str) -> float | None:
    """Dense peak of one device at `dtype`; None where it is not stated, or not known of how many cores."""
    peak, share = part.peak_flop_per_s.get(dtype), parts_there(part, system)
    return None if peak is None or share is None else peak * share


def stated_bytes_per_s(part: DevicePeaks, system: System | None) -> float | None:
    """Bandwidth of one device; None of part of a processor, whose share of the memory's bus nobody knows."""
    share = parts_there(part, system)
    whole = share is not None and share >= 1
    return part.bandwidth_bytes_per_s * share if whole and part.bandwidth_bytes_per_s and share else None
