"""What PyTorch says of its devices: names, memory, UUIDs, missing dtypes, and its fp32 products for the proof."""

from __future__ import annotations

from typing import Any

import torch

from oildrop.harness.devices.facts import BF16_CAPABILITY, CANARY_PRODUCTS, CANARY_SIZE, DeviceCanary, DeviceFacts, Uuid
from oildrop.harness.devices.strict_fp32 import Matrix, Multiply
from oildrop.workloads.protocols import Device


def seen(device: Device) -> list[DeviceFacts]:
    """Every device of this kind; memory is None where the framework does not tell."""
    if device.handle.type != "cuda":
        return [DeviceFacts(name=device.handle.type, memory_bytes=None, uuid=None)]
    return [_cuda_facts(index) for index in range(torch.cuda.device_count())]


def uuid(device: Device) -> Uuid:
    """As the driver knows it."""
    if device.handle.type != "cuda":
        return Uuid(reason=f"PyTorch has none for {device.handle.type}")
    value = _cuda_facts(device.handle).uuid
    return Uuid(value=value, reason=None if value else "this PyTorch does not tell the device's UUID")


def missing_dtype(device: Device, dtype: str) -> str | None:
    """Why `dtype` cannot be used, or None.

    A GPU from before compute capability 8.0 computes bfloat16 only by detours. ROCm has it everywhere, Metal from
    macOS 14 on, and processors emulate it.
    """
    if dtype != "bf16":
        return None
    if device.backend == "torch-cuda":
        capability = torch.cuda.get_device_capability(device.handle)
        if capability < BF16_CAPABILITY:
            return f"a GPU of compute capability {capability[0]}.{capability[1]}; bf16 needs 8.0"
    if device.backend == "torch-mps" and not torch.backends.mps.is_macos_or_newer(14, 0):
        return "Metal before macOS 14"
    return None


def multiplications(device: Device) -> dict[str, Multiply]:
    """Two ways to multiply matrices on the device: each has its own switch in PyTorch."""
    return {"matrix product": _through(device, torch.matmul), "convolution": _through(device, _convolution)}


def canary(device: Device) -> DeviceCanary | None:
    """The device's canary; None of the processor, which has another."""
    if device.handle.type == "cpu":
        return None
    factor = torch.full((CANARY_SIZE, CANARY_SIZE), 1 / CANARY_SIZE, device=device.handle)

    def run() -> None:
        product = factor
        for _ in range(CANARY_PRODUCTS):
            product = torch.matmul(product, factor)

    return DeviceCanary(run=run)


def _through(device: Device, product: Any) -> Multiply:
    def multiply(left: Matrix, right: Matrix) -> Matrix:
        factors = [torch.from_numpy(factor).to(device.handle) for factor in (left, right)]
        return product(*factors).cpu().numpy()

    return multiply


def _convolution(left_MK: torch.Tensor, right_KN: torch.Tensor) -> torch.Tensor:
    """The product as a convolution of one pixel: M images of K channels, N filters."""
    return torch.nn.functional.conv2d(left_MK[:, :, None, None], right_KN.T[:, :, None, None].contiguous())[:, :, 0, 0]


def _cuda_facts(device: Any) -> DeviceFacts:
    found = torch.cuda.get_device_properties(device)
    uuid = getattr(found, "uuid", None)
    return DeviceFacts(name=found.name, memory_bytes=int(found.total_memory), uuid=None if uuid is None else str(uuid))
