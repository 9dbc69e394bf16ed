"""What JAX says of its devices: names, memory, UUIDs, missing dtypes, and its fp32 product for the proof."""

from __future__ import annotations

import os

import jax
import numpy as np

from oildrop.harness.devices.cuda_uuid import first_cuda_uuid
from oildrop.harness.devices.facts import BF16_CAPABILITY, CANARY_PRODUCTS, CANARY_SIZE, DeviceCanary, DeviceFacts, Uuid
from oildrop.harness.devices.strict_fp32 import Matrix, Multiply
from oildrop.workloads.protocols import Device


def seen(device: Device) -> list[DeviceFacts]:
    """Every device of the platform; JAX tells no UUID."""
    return [
        DeviceFacts(name=found.device_kind, memory_bytes=(found.memory_stats() or {}).get("bytes_limit"), uuid=None)
        for found in jax.local_devices()
    ]


def uuid(device: Device) -> Uuid:
    """Of an NVIDIA device, where only one can be meant."""
    if device.backend == "jax-cuda":
        return first_cuda_uuid(os.environ)
    return Uuid(reason=f"JAX has none for {device.handle.platform}")


def missing_dtype(device: Device, dtype: str) -> str | None:
    """Why `dtype` cannot be used, or None: XLA computes bfloat16 by detours before compute capability 8.0."""
    if dtype != "bf16" or device.backend != "jax-cuda":
        return None
    capability = device.handle.compute_capability
    if tuple(int(part) for part in capability.split(".")) < BF16_CAPABILITY:
        return f"a GPU of compute capability {capability}; bf16 needs 8.0"
    return None


def multiplications(device: Device) -> dict[str, Multiply]:
    """The compiled product; one switch serves products and convolutions."""
    product = jax.jit(jax.numpy.matmul)

    def multiply(left: Matrix, right: Matrix) -> Matrix:
        return np.asarray(product(*jax.device_put((left, right), device.handle)))

    return {"matrix product": multiply}


def canary(device: Device) -> DeviceCanary | None:
    """The device's canary, compiled as one loop; None of the processor, which has another."""
    if device.handle.platform == "cpu":
        return None
    entry = np.full((CANARY_SIZE, CANARY_SIZE), 1 / CANARY_SIZE, dtype=np.float32)
    factor = jax.device_put(entry, device.handle)
    chain = jax.jit(lambda factor: jax.lax.fori_loop(0, CANARY_PRODUCTS, lambda _, product: product @ factor, factor))
    return DeviceCanary(run=lambda: chain(factor).block_until_ready())
