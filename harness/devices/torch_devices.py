"""PyTorch's devices: CPU, CUDA (and ROCm, which PyTorch serves under the same name) and Metal."""

from __future__ import annotations

from typing import Any

import torch

from oildrop.harness.devices.resident import resident_peak_bytes
from oildrop.rules.errors import Unsupported

_BACKENDS: Any = torch.backends
"""Its stubs leave out what it adds to itself when it is imported."""


class TorchCpu:
    """The processor: work has ended when the call returns."""

    backend = "torch-cpu"

    def __init__(self) -> None:
        self.handle: Any = torch.device("cpu")

    def synchronize(self) -> None:
        """Nothing to wait for."""

    def memory_peak_bytes(self) -> int | None:
        """Largest resident set of this process so far, bytes."""
        return resident_peak_bytes()


class TorchCuda:
    """One NVIDIA or AMD accelerator through torch.cuda."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        if not torch.cuda.is_available():
            raise Unsupported(f"{backend}: this PyTorch ({torch.__version__}) finds no device; see `oildrop doctor`")
        is_rocm = torch.version.hip is not None
        if is_rocm != (backend == "torch-rocm"):
            built_for = "ROCm" if is_rocm else "CUDA"
            raise Unsupported(f"{backend}: this PyTorch ({torch.__version__}) is built for {built_for}")
        self.handle: Any = torch.device("cuda", 0)

    def synchronize(self) -> None:
        """Wait for every stream of the device."""
        torch.cuda.synchronize(self.handle)

    def memory_peak_bytes(self) -> int | None:
        """High-water mark of the caching allocator's reserved memory, bytes."""
        return int(torch.cuda.max_memory_reserved(self.handle))


class TorchMps:
    """An Apple GPU through torch.mps."""

    backend = "torch-mps"

    def __init__(self) -> None:
        if not torch.backends.mps.is_available():
            raise Unsupported(f"torch-mps: this PyTorch ({torch.__version__}) finds no Metal device")
        self.handle: Any = torch.device("mps")

    def synchronize(self) -> None:
        """Wait for the device's command queue."""
        torch.mps.synchronize()

    def memory_peak_bytes(self) -> int | None:
        """Metal reports no high-water mark."""
        return None


def make_torch_device(backend: str) -> TorchCpu | TorchCuda | TorchMps:
    """The device of `backend`, fp32 set to strict. Raises Unsupported when this machine has none."""
    use_strict_fp32()
    if backend == "torch-cpu":
        return TorchCpu()
    if backend == "torch-mps":
        return TorchMps()
    return TorchCuda(backend)


def use_strict_fp32() -> None:
    """Have products and convolutions keep all bits of fp32, on every kind of device.

    PyTorch has an older and a newer set of switches, and refuses to read the older where they disagree; both are
    set, the older first, because they write into the newer.
    """
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    _BACKENDS.fp32_precision = "ieee"


def torch_runtime() -> dict[str, Any]:
    """What the framework says of itself: version, threads, precision of fp32 products."""
    return {
        "framework": "torch",
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "hip": torch.version.hip,
        "threads": torch.get_num_threads(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "fp32_precision": _BACKENDS.fp32_precision,
        "cudnn_conv_fp32_precision": _BACKENDS.cudnn.conv.fp32_precision,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def is_torch_out_of_memory(error: BaseException) -> bool:
    """Whether `error` is an allocation that PyTorch could not make, on any of its devices."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text)
