"""What any framework can say of a device."""

from __future__ import annotations

from collections.abc import Callable
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


CANARY_SIZE = 1024
CANARY_PRODUCTS = 16


@dataclass(frozen=True, kw_only=True)
class DeviceCanary:
    """An accelerator's canary: a chain of `CANARY_PRODUCTS` fp32 products of matrices [CANARY_SIZE, CANARY_SIZE].

    Every entry is 1 / CANARY_SIZE, and so is every entry of each product.

    Attributes:
        run: Gives the whole chain to the device; it need not have ended when the call returns.
    """

    run: Callable[[], None]
    work: str = f"{CANARY_PRODUCTS} fp32 products of {CANARY_SIZE} x {CANARY_SIZE}"
