"""Which NVIDIA device the first CUDA device is, for frameworks that do not tell.

CUDA numbers devices fastest first and NVML by their place on the bus, so that an index alone proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from oildrop.harness.devices.facts import Uuid
from oildrop.harness.meters.nvidia import describe_in_child


def first_cuda_uuid(environment: Mapping[str, str]) -> Uuid:
    """Asks the driver in a child process for its devices."""
    answer = describe_in_child()
    if answer.value is None:
        return Uuid(reason=answer.reason)
    return certain_uuid(environment, [device["uuid"] for device in answer.value["devices"]])


def certain_uuid(environment: Mapping[str, str], driver_uuids: Sequence[str]) -> Uuid:
    """The UUID of CUDA's device 0 where `CUDA_VISIBLE_DEVICES` and the driver's list leave one possibility.

    Args:
        driver_uuids: All devices of the machine in the order of the bus.

    Source: CUDA C++ Programming Guide, "CUDA Environment Variables".
    """
    first = environment.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    if first.startswith("MIG-"):
        return Uuid(value=first)
    possible = list(driver_uuids)
    if first.startswith("GPU-"):
        possible = [uuid for uuid in driver_uuids if uuid.startswith(first)]
    elif environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
        index = int(first) if first.isdecimal() else 0
        possible = possible[index : index + 1]
    if len(possible) == 1:
        return Uuid(value=possible[0])
    return Uuid(
        reason=f"{len(possible)} devices could be CUDA's first; set CUDA_DEVICE_ORDER=PCI_BUS_ID, "
        "or CUDA_VISIBLE_DEVICES to the UUID of one"
    )
