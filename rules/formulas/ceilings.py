"""Ceilings of a machine from the times of what was repeated on it; pure."""

from __future__ import annotations

from collections.abc import Sequence

CEILING_METRICS = {
    "matmul": "matmul_flop_per_s",
    "read": "read_bandwidth_bytes_per_s",
    "copy": "copy_bandwidth_bytes_per_s",
    "host_to_device": "host_to_device_bytes_per_s",
}
"""The metric of each thing that a calibration does."""

MOVED = {"read": 1, "copy": 2, "host_to_device": 1}
"""How often each byte of the buffer crosses the memory's bus: a copy reads it and writes it, as STREAM counts."""


def product_flop(width: int, count: int) -> float:
    """FLOPs of `count` products of square matrices (`matmul_flop/1`): width^3 multiplications and additions."""
    return 2.0 * width**3 * count


def moved_bytes(what: str, size_bytes: int, count: int) -> float:
    """Bytes that `count` reads or copies of a buffer move (`moved_bytes/1`)."""
    return float(MOVED[what] * size_bytes * count)


def fastest_rate(work: float, repeats_s: Sequence[float]) -> float:
    """Work a second of the fastest repeat: what disturbs a repeat only ever slows it.

    Raises:
        ValueError: There is no repeat, or one took no time.
    """
    if not repeats_s or min(repeats_s) <= 0:
        raise ValueError("no repeat with a time above 0")
    return work / min(repeats_s)


def spread_fraction(repeats_s: Sequence[float]) -> float:
    """How far the slowest repeat's rate is under the fastest's, as a share of the fastest's (`repeat_spread/1`)."""
    return 1.0 - min(repeats_s) / max(repeats_s)
