"""PyTorch's devices: CPU, CUDA (and ROCm, which PyTorch serves under the same name) and Metal."""

from __future__ import annotations

import resource
import sys
from typing import Any

import torch

from oildrop.rules.errors import Unsupported


class TorchCpu:
    """The processor: work has ended when the call returns."""

    backend = "torch-cpu"

    def __init__(self) -> None:
        self.handle: Any = torch.device("cpu")

    def synchronize(self) -> None:
        """Nothing to wait for."""

    def memory_peak_bytes(self) -> int | None:
        """Largest resident set of this process so far, bytes (getrusage)."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


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
    """The device of `backend`. Raises Unsupported when this machine has none."""
    if backend == "torch-cpu":
        return TorchCpu()
    if backend == "torch-mps":
        return TorchMps()
    return TorchCuda(backend)


def torch_device_uuid(handle: Any) -> str | None:
    """The accelerator's UUID as the driver knows it; None for the CPU and Metal."""
    if handle.type != "cuda":
        return None
    uuid = getattr(torch.cuda.get_device_properties(handle), "uuid", None)
    return None if uuid is None else str(uuid)


def torch_runtime() -> dict[str, Any]:
    """What the framework says of itself: version, threads, precision of fp32 products."""
    return {
        "framework": "torch",
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "hip": torch.version.hip,
        "threads": torch.get_num_threads(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def is_torch_out_of_memory(error: BaseException) -> bool:
    """Whether `error` is an allocation that PyTorch could not make, on any of its devices."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text)
