"""From a backend's name to its device, importing that one framework only."""

from __future__ import annotations

from typing import Any

from oildrop.rules.errors import Unsupported
from oildrop.workloads.protocols import Device
from oildrop.workloads.registry import framework_of


def open_device(backend: str) -> Device:
    """The device of `backend`. Raises Unsupported when framework or hardware is missing."""
    if framework_of(backend) != "torch":
        raise Unsupported(f"{backend}: no workload is written for this framework yet; torch is")
    try:
        from oildrop.harness.devices.torch_devices import make_torch_device
    except ImportError as error:
        raise Unsupported(f"{backend}: PyTorch cannot be imported ({error}); pip install 'oildrop[torch]'") from error
    return make_torch_device(backend)


def runtime_of(device: Device) -> dict[str, Any]:
    """Versions and numeric settings of the device's framework, as they are now."""
    from oildrop.harness.devices.torch_devices import torch_runtime

    return {"backend": device.backend, **torch_runtime()}


def device_uuids(device: Device) -> tuple[str, ...]:
    """UUIDs of the accelerators behind `device`, for the meters; () where they have none."""
    from oildrop.harness.devices.torch_devices import torch_device_uuid

    uuid = torch_device_uuid(device.handle)
    return () if uuid is None else (uuid,)


def is_out_of_memory(error: BaseException, backend: str) -> bool:
    """Whether `error` says that memory of host or device ran out."""
    if isinstance(error, MemoryError):
        return True
    if framework_of(backend) != "torch":
        return False
    try:
        from oildrop.harness.devices.torch_devices import is_torch_out_of_memory
    except ImportError:
        return False
    return is_torch_out_of_memory(error)
