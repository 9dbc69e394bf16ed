"""Every error code of NVML in words, and what a meter does about it.

Source: NVIDIA, NVML API reference, `nvmlReturn_t`; codes as in nvidia-ml-py 13.615.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Consequence = Literal["absent", "retry", "stop"]


class Meaning(NamedTuple):
    """`absent`: this device has no such quantity; `retry`: leave this sample out; `stop`: the meter is finished."""

    consequence: Consequence
    text: str


CODES: dict[int, Meaning] = {
    1: Meaning("stop", "NVML was not initialised"),
    2: Meaning("absent", "the device rejects the request"),
    3: Meaning("absent", "the device does not offer it"),
    4: Meaning("stop", "no permission; run as a user of the group that owns /dev/nvidia*"),
    5: Meaning("retry", "NVML was initialised already"),
    6: Meaning("absent", "not found"),
    7: Meaning("retry", "the answer was larger than expected"),
    8: Meaning("stop", "the device lacks power; check its power cables"),
    9: Meaning("stop", "the NVIDIA driver is not loaded; install it, or load it with `modprobe nvidia`"),
    10: Meaning("retry", "the driver did not answer in time"),
    11: Meaning("stop", "the kernel has a problem with the device's interrupts"),
    12: Meaning("stop", "libnvidia-ml.so.1 was not found; install the driver, or give the container access to it"),
    13: Meaning("absent", "the installed driver is too old to know it"),
    14: Meaning("stop", "the device's information memory is corrupted"),
    15: Meaning("stop", "the device fell off the bus; restart the machine"),
    16: Meaning("stop", "the device needs a reset"),
    17: Meaning("stop", "the operating system or a control group blocks the device"),
    18: Meaning("stop", "driver and library are of different versions; restart the machine after the driver's update"),
    19: Meaning("retry", "the device is in use"),
    20: Meaning("retry", "not enough memory to answer"),
    21: Meaning("retry", "no data yet"),
    22: Meaning("absent", "not available with error correction in a virtual device"),
    23: Meaning("retry", "not enough resources to answer"),
    24: Meaning("absent", "the frequency is not supported"),
    25: Meaning("absent", "the driver expects another version of the request"),
    26: Meaning("absent", "the driver no longer offers it"),
    27: Meaning("retry", "the device is not ready"),
    28: Meaning("stop", "no such device"),
    29: Meaning("retry", "the device is in another state"),
    30: Meaning("absent", "the device does not know this kind of reset"),
    999: Meaning("retry", "an internal driver error"),
}


def meaning_of(code: int) -> Meaning:
    """The meaning of an error code; a code newer than the table is tried again."""
    return CODES.get(code, Meaning("retry", f"an error that this version does not know (NVML code {code})"))
