"""MLX's devices: CPU, Metal and CUDA."""

from __future__ import annotations

import shutil
import sys
from importlib.metadata import version
from typing import Any

import mlx.core as mx

from oildrop.harness.devices.resident import resident_peak_bytes
from oildrop.rules.errors import Unsupported

NEEDS = {
    "metal": "it needs a Mac with Apple silicon and `pip install mlx`",
    "cuda": "it needs an NVIDIA GPU with its driver and `pip install 'mlx[cuda]'`",
}
"""What would make each backend run."""

TELLING = ("device_name", "architecture", "memory_size", "total_memory")
"""What of a device's description is published; the rest are identifiers and limits."""

OUT_OF_MEMORY = (
    "unable to allocate",
    "out of memory",
    "insufficient memory",
    "greater than the maximum allowed buffer size",
    "resource limit",
)
"""What MLX's allocators and command buffers say when memory ran out; they raise plain RuntimeError."""


class MlxCpu:
    """The processor."""

    backend = "mlx-cpu"

    def __init__(self) -> None:
        self.handle: Any = _claim(self.backend, mx.cpu)

    def synchronize(self) -> None:
        """Wait for the stream's own thread."""
        mx.synchronize()

    def memory_peak_bytes(self) -> int | None:
        """Largest resident set of this process so far, bytes (getrusage)."""
        return resident_peak_bytes()


class MlxGpu:
    """An Apple GPU through Metal, or an NVIDIA GPU through CUDA."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        _require_gpu(backend)
        self.handle: Any = _claim(backend, mx.gpu)

    def synchronize(self) -> None:
        """Wait for the device's stream."""
        mx.synchronize()

    def memory_peak_bytes(self) -> int | None:
        """High-water mark of what MLX's allocator had in use, bytes; its cache of freed buffers not counted."""
        return int(mx.get_peak_memory())


def make_mlx_device(backend: str) -> MlxCpu | MlxGpu:
    """The device of `backend`, from here on MLX's default.

    Raises:
        Unsupported: This machine has none, or MLX is too old.
    """
    if not hasattr(mx, "device_info"):
        raise Unsupported(
            f"{backend}: MLX {version('mlx')} is too old to describe its devices, 0.31 and later do; "
            "pip install --upgrade mlx"
        )
    return MlxCpu() if backend == "mlx-cpu" else MlxGpu(backend)


def mlx_runtime() -> dict[str, Any]:
    """What MLX says of itself and of its default device, and whether `mx.compile` fuses on the processor."""
    described = mx.device_info(mx.default_device())
    return {
        "framework": "mlx",
        "version": version("mlx"),
        "device": str(mx.default_device()),
        **{key: described.get(key) for key in TELLING},
        "cpu_fuses_kernels": sys.platform == "darwin" or shutil.which("g++") is not None,
    }


def is_mlx_out_of_memory(error: BaseException) -> bool:
    """Whether `error` is an allocation that MLX could not make, on any of its devices."""
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(phrase in text for phrase in OUT_OF_MEMORY)


def _require_gpu(backend: str) -> None:
    """Raises Unsupported where this MLX is not built for the backend or sees no device."""
    kind = backend.removeprefix("mlx-")
    # MLX built for CUDA calls itself available on a machine without a GPU too.
    if not getattr(mx, kind).is_available() or mx.device_count(mx.gpu) == 0:
        raise Unsupported(
            f"{backend}: this MLX ({version('mlx')}) finds no {kind} device; {NEEDS[kind]}, or use mlx-cpu"
        )


def _claim(backend: str, kind: mx.DeviceType) -> mx.Device:
    """MLX's default device, set and read back, so that a silent fall-back to another is caught."""
    asked = mx.Device(kind, 0)
    mx.set_default_device(asked)
    if mx.default_device() != asked:
        raise Unsupported(f"{backend}: MLX {version('mlx')} runs on {mx.default_device()} where {asked} was asked for")
    return asked
