"""Why an NVIDIA device holds its clocks down: the bits of NVML's clock event reasons.

Source: NVML API reference, `nvmlClocksEventReasons`.
"""

from __future__ import annotations

THROTTLE_BITS = {
    0x1: "idle",
    0x2: "clocks set by hand",
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "heat (driver)",
    0x40: "heat (hardware)",
    0x80: "power brake",
    0x100: "display clock",
    0x200: "board limit",
    0x400: "reliability",
}

HOT_BITS = 0x8 | 0x20 | 0x40 | 0x80
"""Heat, and what hardware does on its own when heat or supply go out of bounds; a power cap is not among them."""


def throttle_names(bits: int) -> tuple[str, ...]:
    """Words for a value of `throttle_bits`; empty when nothing holds the clocks down."""
    return tuple(name for bit, name in THROTTLE_BITS.items() if bits & bit)
