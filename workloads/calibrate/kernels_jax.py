"""Products, reads and copies in JAX: CPU, CUDA, ROCm, TPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from numpy.typing import NDArray

from oildrop.workloads.calibrate.kernels import Work
from oildrop.workloads.protocols import Device, Settings

FORMATS: dict[str, Any] = {
    "fp32": jnp.float32,
    "tf32": jnp.float32,
    "bf16": jnp.bfloat16,
    "fp16": jnp.float16,
    "int8": jnp.int8,
}
AMPERE = (8, 0)


class JaxKernels:
    """See `kernels.Kernels`."""

    def __init__(self, device: Device) -> None:
        self._handle = device.handle
        self._backend = device.backend

    def missing(self) -> Mapping[str, str]:
        """By backend, on NVIDIA's devices by compute capability."""
        if self._backend != "jax-cuda":
            missing = {"tf32": "TF32 is a format of NVIDIA's devices"}
            if self._backend == "jax-tpu":
                missing["fp16"] = "a TPU multiplies no fp16 matrices but by detours"
            return missing
        capability = tuple(int(part) for part in self._handle.compute_capability.split("."))
        reason = f"a GPU of compute capability {self._handle.compute_capability}; it needs 8.0"
        return {} if capability >= AMPERE else {"tf32": reason, "bf16": reason}

    def multiply(self, dtype: str, left: NDArray[np.int8], right: NDArray[np.int8]) -> NDArray[Any]:
        """Through the product that is timed."""
        factors = [jax.device_put(jnp.asarray(factor).astype(FORMATS[dtype]), self._handle) for factor in (left, right)]
        return np.asarray(_product(dtype)(*factors)).astype(np.float64)

    def products(self, dtype: str, width: int) -> Work:
        """Of numbers from -2 to 2, none of them denormal."""
        left, right = (self._matrix(width, seed, FORMATS[dtype]) for seed in (1, 2))
        return _repeated(_product(dtype), left, right)

    def reads(self, size_bytes: int) -> Work:
        """Sums of fp32 numbers."""
        return _repeated(jax.jit(jnp.sum), self._buffer(size_bytes))

    def copies(self, size_bytes: int) -> Work:
        """Each number negated into another buffer: XLA may leave out a copy that changes nothing."""
        return _repeated(jax.jit(jnp.negative), self._buffer(size_bytes))

    def copies_from_host(self, size_bytes: int) -> Work:
        """`device_put` of a NumPy array."""
        source = np.ones(size_bytes // 4, dtype=np.float32)
        return _repeated(lambda: jax.device_put(source, self._handle))

    def _buffer(self, size_bytes: int) -> Array:
        return jax.device_put(jnp.ones(size_bytes // 4, dtype=jnp.float32), self._handle)

    def _matrix(self, width: int, seed: int, dtype: Any) -> Array:
        numbers = jnp.arange(width * width, dtype=jnp.int32) * (2 * seed + 1) % 5 - 2
        return jax.device_put(numbers.reshape(width, width).astype(dtype), self._handle)


def make_kernels(settings: Settings, device: Device) -> JaxKernels:
    """Of the device that was opened; XLA takes all threads."""
    return JaxKernels(device)


def _product(dtype: str) -> Callable[[Array, Array], Array]:
    """`fp32` is strict by the device's default; int8 sums are int32."""
    if dtype == "int8":
        return jax.jit(lambda left, right: lax.dot(left, right, preferred_element_type=jnp.int32))
    if dtype == "tf32":
        return jax.jit(lambda left, right: lax.dot(left, right, precision=lax.DotAlgorithmPreset.TF32_TF32_F32))
    return jax.jit(lax.dot)


def _repeated(once: Callable[..., Any], *arguments: Any) -> Work:
    """Each result is dropped when the next is asked for, and the last is waited for: a device runs them in order."""

    def work(count: int) -> None:
        last = None
        for _ in range(count):
            last = once(*arguments)
        jax.block_until_ready(last)

    return work
