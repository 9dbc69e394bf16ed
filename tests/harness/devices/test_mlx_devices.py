"""MLX's devices: those that are missing say why, and none is swapped for another in silence."""

from __future__ import annotations

import time
from typing import Any

import mlx.core as mx
import psutil
import pytest

from oildrop.harness.devices.mlx_devices import is_mlx_out_of_memory, make_mlx_device, mlx_runtime
from oildrop.rules.errors import Unsupported


@pytest.fixture
def has_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """An MLX that says it is built for CUDA and Metal and counts one device."""
    monkeypatch.setattr(mx.metal, "is_available", lambda: True)
    monkeypatch.setattr(mx.cuda, "is_available", lambda: True)
    monkeypatch.setattr(mx, "device_count", lambda kind: 1)


def test_the_processor_becomes_the_default_device() -> None:
    device = make_mlx_device("mlx-cpu")
    assert device.backend == "mlx-cpu"
    assert device.handle == mx.default_device() == mx.Device(mx.cpu, 0)


def test_synchronize_waits_for_what_was_begun() -> None:
    device = make_mlx_device("mlx-cpu")
    x = mx.ones((384, 384))
    for _ in range(6):
        x = x @ x / 384
    mx.async_eval(x)
    begun = time.perf_counter()
    device.synchronize()
    ended = time.perf_counter()
    assert x[0, 0].item() == 1.0
    assert ended - begun > 3 * (time.perf_counter() - ended)


def test_the_processors_memory_is_the_process_resident_set() -> None:
    peak = make_mlx_device("mlx-cpu").memory_peak_bytes()
    assert peak is not None
    assert 0.9 * psutil.Process().memory_info().rss < peak < psutil.virtual_memory().total


@pytest.mark.parametrize(("backend", "fix"), [("mlx-metal", "Apple silicon"), ("mlx-cuda", r"'mlx\[cuda\]'")])
def test_a_backend_that_is_not_built_in_says_what_it_needs(
    backend: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mx.metal, "is_available", lambda: False)
    monkeypatch.setattr(mx.cuda, "is_available", lambda: False)
    monkeypatch.setattr(mx, "device_count", lambda kind: 1)
    with pytest.raises(Unsupported, match=rf"^{backend}: this MLX \({mx.__version__}\) finds no .*{fix}"):
        make_mlx_device(backend)


@pytest.mark.usefixtures("has_gpu")
def test_a_build_for_cuda_without_a_gpu_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mx, "device_count", lambda kind: 0)
    with pytest.raises(Unsupported, match="finds no cuda device"):
        make_mlx_device("mlx-cuda")


@pytest.mark.usefixtures("has_gpu")
def test_a_silent_fall_back_to_the_processor_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mx, "set_default_device", lambda device: None)
    monkeypatch.setattr(mx, "default_device", lambda: mx.Device(mx.cpu, 0))
    with pytest.raises(Unsupported, match=r"runs on Device\(cpu, 0\) where Device\(gpu, 0\) was asked for"):
        make_mlx_device("mlx-cuda")


@pytest.mark.usefixtures("has_gpu")
def test_an_accelerators_memory_is_what_its_allocator_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Any] = []
    monkeypatch.setattr(mx, "set_default_device", taken.append)
    monkeypatch.setattr(mx, "default_device", lambda: taken[-1])
    monkeypatch.setattr(mx, "get_peak_memory", lambda: 123)
    device = make_mlx_device("mlx-metal")
    assert device.memory_peak_bytes() == 123
    assert device.handle == mx.Device(mx.gpu, 0)


def test_an_mlx_from_before_device_descriptions_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(mx, "device_info")
    with pytest.raises(Unsupported, match=r"too old .* pip install --upgrade mlx"):
        make_mlx_device("mlx-cpu")


def test_the_runtime_names_version_and_device_but_no_identifier(monkeypatch: pytest.MonkeyPatch) -> None:
    make_mlx_device("mlx-cpu")
    described = {"device_name": "NVIDIA H100", "architecture": "sm_90", "total_memory": 8, "uuid": "GPU-1"}
    monkeypatch.setattr(mx, "device_info", lambda device: described | {"pci_bus_id": "0000:01:00.0"})
    runtime = mlx_runtime()
    assert runtime.pop("cpu_fuses_kernels") in (True, False)
    assert runtime == {
        "framework": "mlx",
        "version": mx.__version__,
        "device": "Device(cpu, 0)",
        "device_name": "NVIDIA H100",
        "architecture": "sm_90",
        "memory_size": None,
        "total_memory": 8,
    }


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (RuntimeError("[malloc] Unable to allocate 1073741824 bytes."), True),
        (RuntimeError("[metal::malloc] Attempting to allocate 9 bytes which is greater than the maximum allowed "
                      "buffer size of 8 bytes."), True),
        (RuntimeError("[METAL] Command buffer execution failed: Insufficient Memory (00000008)"), True),
        (RuntimeError("cudaMallocAsync(&data, size, stream) failed: out of memory"), True),
        (RuntimeError("[matmul] Last dimension of first input must match"), False),
        (ValueError("out of memory"), False),
    ],
)  # fmt: skip
def test_memory_that_ran_out_is_told_from_other_errors(error: Exception, is_memory: bool) -> None:
    assert is_mlx_out_of_memory(error) is is_memory
