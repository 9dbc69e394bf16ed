"""Products, reads and copies in MLX: CPU, Metal, CUDA."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.calibrate.kernels import Work
from oildrop.workloads.protocols import Device, Settings

FORMATS = {"fp32": mx.float32, "bf16": mx.bfloat16, "fp16": mx.float16}


class MlxKernels:
    """See `kernels.Kernels`."""

    def __init__(self, device: Device) -> None:
        self._handle = device.handle

    def missing(self) -> Mapping[str, str]:
        """The same on each of MLX's devices."""
        return {
            "tf32": "MLX has one switch for the whole process, and it is off: fp32 is strict",
            "int8": "MLX multiplies no int8 matrices",
        }

    def multiply(self, dtype: str, left: NDArray[np.int8], right: NDArray[np.int8]) -> NDArray[Any]:
        """Through the product that is timed."""
        factors = [mx.array(factor).astype(FORMATS[dtype]) for factor in (left, right)]
        return np.array(mx.matmul(*factors, stream=self._handle).astype(mx.float32)).astype(np.float64)

    def products(self, dtype: str, width: int) -> Work:
        """Of numbers from -2 to 2, none of them denormal."""
        left, right = (_matrix(width, seed).astype(FORMATS[dtype]) for seed in (1, 2))
        mx.eval(left, right)
        return self._repeated(lambda: mx.matmul(left, right, stream=self._handle))

    def reads(self, size_bytes: int) -> Work:
        """Sums of fp32 numbers."""
        buffer = _buffer(size_bytes)
        return self._repeated(lambda: mx.sum(buffer, stream=self._handle))

    def copies(self, size_bytes: int) -> Work:
        """Each number negated into another buffer."""
        buffer = _buffer(size_bytes)
        return self._repeated(lambda: mx.negative(buffer, stream=self._handle))

    def copies_from_host(self, size_bytes: int) -> Work:
        """An array made of a NumPy array."""
        source = np.ones(size_bytes // 4, dtype=np.float32)
        return self._repeated(lambda: mx.array(source))

    def _repeated(self, once: Callable[[], Any]) -> Work:
        """Nothing is worked out before it is asked for: each piece is handed to the device as soon as it is named."""

        def work(count: int) -> None:
            for _ in range(count):
                mx.async_eval(once())  # type: ignore[no-untyped-call]

        return work


def make_kernels(settings: Settings, device: Device) -> MlxKernels:
    """Of the device that was opened; MLX has no setting for threads."""
    return MlxKernels(device)


def _buffer(size_bytes: int) -> mx.array:
    buffer = mx.ones(size_bytes // 4)
    mx.eval(buffer)
    return buffer


def _matrix(width: int, seed: int) -> mx.array:
    numbers = mx.arange(width * width) * (2 * seed + 1) % 5 - 2
    return numbers.reshape(width, width)
