"""Products, reads and copies in PyTorch: CPU, CUDA, ROCm, Metal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from oildrop.workloads.calibrate.kernels import Work
from oildrop.workloads.cores import physical_cores
from oildrop.workloads.protocols import Device, Settings

FORMATS = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "int8": torch.int8,
}
BF16_CAPABILITY = (8, 0)
TF32_CAPABILITY = (8, 0)
INT8_CAPABILITY = (7, 5)
"""First compute capabilities. Source: CUDA C++ Programming Guide, "Compute Capabilities"; `torch._int_mm` for int8."""


class TorchKernels:
    """See `kernels.Kernels`."""

    def __init__(self, settings: Settings, device: Device) -> None:
        self._device = device
        self._handle: torch.device = device.handle
        if self._handle.type == "cpu":
            torch.set_num_threads(int(settings["execution.threads"]) or physical_cores())

    def missing(self) -> Mapping[str, str]:
        """By backend, on NVIDIA's devices by compute capability."""
        backend = self._device.backend
        if backend == "torch-cuda":
            return dict(_missing_on_cuda(torch.cuda.get_device_capability(self._handle)))
        missing = {"tf32": "TF32 is a format of NVIDIA's devices"}
        if backend == "torch-mps":
            missing["int8"] = "PyTorch multiplies no int8 matrices on Metal"
        if backend == "torch-mps" and not torch.backends.mps.is_macos_or_newer(14, 0):
            missing["bf16"] = "Metal before macOS 14"
        return missing

    def multiply(self, dtype: str, left: NDArray[np.int8], right: NDArray[np.int8]) -> NDArray[Any]:
        """Through the product that is timed."""
        factors = [torch.from_numpy(factor).to(FORMATS[dtype]).to(self._handle) for factor in (left, right)]
        with _precision(dtype):
            return (
                _product(dtype)(*factors)
                .to(torch.float64 if self._handle.type == "cpu" else torch.float32)
                .cpu()
                .numpy()
            )

    def products(self, dtype: str, width: int) -> Work:
        """Of numbers from -2 to 2, none of them denormal."""
        left, right = (self._matrix(width, seed).to(FORMATS[dtype]) for seed in (1, 2))
        product = _product(dtype)

        def work(count: int) -> None:
            with _precision(dtype), torch.inference_mode():
                for _ in range(count):
                    product(left, right)

        return work

    def reads(self, size_bytes: int) -> Work:
        """Sums of fp32 numbers."""
        buffer = torch.ones(size_bytes // 4, device=self._handle)
        return _repeated(lambda: torch.sum(buffer))

    def copies(self, size_bytes: int) -> Work:
        """`copy_` between two buffers."""
        source = torch.ones(size_bytes // 4, device=self._handle)
        target = torch.empty_like(source)
        return _repeated(lambda: target.copy_(source))

    def copies_from_host(self, size_bytes: int) -> Work:
        """From pinned memory, where the device can read such."""
        source = torch.ones(size_bytes // 4)
        if self._handle.type == "cuda":
            source = source.pin_memory()
        target = torch.empty(size_bytes // 4, device=self._handle)
        return _repeated(lambda: target.copy_(source, non_blocking=True))

    def _matrix(self, width: int, seed: int) -> torch.Tensor:
        numbers = torch.arange(width * width, device=self._handle, dtype=torch.int32)
        return (numbers * (2 * seed + 1) % 5 - 2).reshape(width, width).to(torch.float32)


def make_kernels(settings: Settings, device: Device) -> TorchKernels:
    """Of the device's first accelerator, or of the processor."""
    return TorchKernels(settings, device)


def _missing_on_cuda(capability: tuple[int, int]) -> Iterator[tuple[str, str]]:
    for dtype, first in (("tf32", TF32_CAPABILITY), ("bf16", BF16_CAPABILITY), ("int8", INT8_CAPABILITY)):
        if capability < first:
            yield (
                dtype,
                f"a GPU of compute capability {capability[0]}.{capability[1]}; {dtype} needs {first[0]}.{first[1]}",
            )


def _product(dtype: str) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    # The only product of int8 matrices that PyTorch offers; its sums are int32.
    return torch._int_mm if dtype == "int8" else torch.matmul


@contextmanager
def _precision(dtype: str) -> Iterator[None]:
    """TF32 switched on for its own products alone."""
    matmul: Any = torch.backends.cuda.matmul
    if dtype != "tf32":
        yield
        return
    before = matmul.fp32_precision
    matmul.fp32_precision = "tf32"
    try:
        yield
    finally:
        matmul.fp32_precision = before


def _repeated(once: Callable[[], Any]) -> Work:
    def work(count: int) -> None:
        for _ in range(count):
            once()

    return work
