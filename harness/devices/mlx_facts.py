"""What MLX says of its devices: names, memory, UUIDs, and its fp32 product for the proof."""

from __future__ import annotations

import os

import mlx.core as mx
import numpy as np

from oildrop.harness.devices.cuda_uuid import first_cuda_uuid
from oildrop.harness.devices.facts import CANARY_PRODUCTS, CANARY_SIZE, DeviceCanary, DeviceFacts, Uuid
from oildrop.harness.devices.strict_fp32 import Matrix, Multiply
from oildrop.workloads.protocols import Device


def seen(device: Device) -> list[DeviceFacts]:
    """The device that MLX uses."""
    found = mx.device_info(device.handle)
    memory = found.get("memory_size")
    return [
        DeviceFacts(
            name=str(found.get("device_name", device.handle)),
            memory_bytes=None if memory is None else int(memory),
            uuid=None,
        )
    ]


def uuid(device: Device) -> Uuid:
    """Of an NVIDIA device, where only one can be meant."""
    if device.backend == "mlx-cuda":
        return first_cuda_uuid(os.environ)
    return Uuid(reason="MLX has none for this device")


def missing_dtype(device: Device, dtype: str) -> str | None:
    """None: MLX computes bfloat16 on each of its devices."""
    return None


def multiplications(device: Device) -> dict[str, Multiply]:
    """The product on the device's default stream."""

    def multiply(left: Matrix, right: Matrix) -> Matrix:
        return np.asarray(mx.matmul(mx.array(left), mx.array(right), stream=device.handle))

    return {"matrix product": multiply}


def canary(device: Device) -> DeviceCanary | None:
    """The device's canary; None of the processor, which has another."""
    if device.backend == "mlx-cpu":
        return None
    factor = mx.full((CANARY_SIZE, CANARY_SIZE), 1 / CANARY_SIZE)
    mx.eval(factor)

    def run() -> None:
        product = factor
        for _ in range(CANARY_PRODUCTS):
            product = mx.matmul(product, factor)
        mx.eval(product)

    return DeviceCanary(run=run)
