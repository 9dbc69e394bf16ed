"""From a backend's name to its device, importing that one framework only.

Each framework has two files: `<framework>_devices.py` finds the device, waits for it and asks for its memory;
`<framework>_facts.py` says what the device is and can do.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from oildrop.harness.devices.facts import DeviceCanary, DeviceFacts, Uuid
from oildrop.harness.devices.strict_fp32 import require_exact_products
from oildrop.rules.errors import Unsupported
from oildrop.workloads.protocols import Device
from oildrop.workloads.registry import framework_of


@dataclass(frozen=True, kw_only=True)
class _Framework:
    """How people write its name, and the variables that must be set before it is imported."""

    title: str
    environment: dict[str, str] = field(default_factory=dict)


_FRAMEWORKS = {
    "torch": _Framework(title="PyTorch"),
    "jax": _Framework(title="JAX"),
    # MLX has no function for it: https://ml-explore.github.io/mlx, `mlx/utils.h`, read 2026-11-24.
    "mlx": _Framework(title="MLX", environment={"MLX_ENABLE_TF32": "0"}),
}


def open_device(backend: str) -> Device:
    """The device of `backend`, its fp32 products proved exact.

    Raises:
        Unsupported: Framework or hardware is missing, or the framework shortens fp32.
    """
    framework = framework_of(backend)
    known = _FRAMEWORKS[framework]
    os.environ.update(known.environment)
    try:
        make = _devices(framework, f"make_{framework}_device")
    # Built for another processor or another library, a framework fails to import with the latter two.
    except (ImportError, OSError, RuntimeError) as error:
        raise Unsupported(
            f"{backend}: {known.title} cannot be imported ({type(error).__name__}: {error}); "
            f"pip install 'oildrop[{framework}]'"
        ) from error
    device: Device = make(backend)
    for kind, multiply in _facts(device, "multiplications").items():
        require_exact_products(backend, kind, multiply)
    return device


def runtime_of(device: Device) -> dict[str, Any]:
    """Versions and numeric settings of the device's framework, as they are now."""
    framework = framework_of(device.backend)
    runtime = _devices(framework, f"{framework}_runtime")()
    return {
        "backend": device.backend,
        **runtime,
        "fp32_products": "exact",
        "device_uuid_reason": uuid_of(device).reason,
    }


def facts_of(device: Device) -> list[DeviceFacts]:
    """Every device of the backend, as the framework describes it; the first is the one that is used."""
    return _facts(device, "seen")


def uuid_of(device: Device) -> Uuid:
    """The vendor's name of the device that is used, or why it is not known."""
    return _facts(device, "uuid")


def device_uuids(device: Device) -> tuple[str, ...]:
    """UUIDs of the accelerators behind `device`, for the meters; () where none is known for certain."""
    found = uuid_of(device).value
    return () if found is None else (found,)


def canary_of(device: Device) -> DeviceCanary | None:
    """The accelerator's canary; None where the device is the processor."""
    return _facts(device, "canary")


def supports_dtype(device: Device, dtype: str) -> str | None:
    """Why `device` cannot compute in `dtype` (`fp32` or `bf16`), or None when it can."""
    return _facts(device, "missing_dtype", dtype)


def require_dtype(device: Device, dtype: str) -> None:
    """Raises Unsupported where the device lacks `dtype`."""
    reason = supports_dtype(device, dtype)
    if reason is not None:
        raise Unsupported(f"{device.backend}: {dtype} is not offered by {reason}; add --set execution.dtype=fp32")


def is_out_of_memory(error: BaseException, backend: str) -> bool:
    """Whether `error` says that memory of host or device ran out."""
    if isinstance(error, MemoryError):
        return True
    framework = framework_of(backend)
    try:
        is_out = _devices(framework, f"is_{framework}_out_of_memory")
    except ImportError:
        return False
    return bool(is_out(error))


def _devices(framework: str, name: str) -> Any:
    return getattr(import_module(f"oildrop.harness.devices.{framework}_devices"), name)


def _facts(device: Device, name: str, *arguments: Any) -> Any:
    """Answer of one function of the framework's facts."""
    module = import_module(f"oildrop.harness.devices.{framework_of(device.backend)}_facts")
    return getattr(module, name)(device, *arguments)
