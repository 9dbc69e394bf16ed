"""What any framework can say of a device."""

from __future__ import annotations

from dataclasses import dataclass

BF16_CAPABILITY = (8, 0)
"""First compute capability with bfloat16 units. Source: CUDA C++ Programming Guide, "Compute Capabilities"."""


@dataclass(frozen=True, kw_only=True)
class DeviceFacts:
    """One device as its framework describes it; None where it does not tell."""

    name: str
    memory_bytes: int | None
    uuid: str | None


@dataclass(frozen=True, kw_only=True)
class Uuid:
    """The vendor's name of the device that is used, or the `reason` why it is not known."""

    value: str | None = None
    reason: str | None = None
