"""PyTorch's devices on this machine's processor: strict fp32, memory, errors; accelerators by stand-ins."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from oildrop.harness.devices import torch_facts
from oildrop.harness.devices.opening import (
    device_uuids,
    facts_of,
    is_out_of_memory,
    open_device,
    require_dtype,
    runtime_of,
    supports_dtype,
)
from oildrop.rules.errors import Unsupported


def device(backend: str, kind: str = "cuda") -> Any:
    return SimpleNamespace(backend=backend, handle=SimpleNamespace(type=kind))


def test_the_processor_opens_and_computes() -> None:
    cpu = open_device("torch-cpu")
    ones = torch.ones(3, 3, device=cpu.handle)
    cpu.synchronize()
    assert cpu.backend == "torch-cpu" and (ones @ ones).sum().item() == 27
    assert device_uuids(cpu) == () and [facts.name for facts in facts_of(cpu)] == ["cpu"]


def test_the_processors_memory_is_the_process_resident_set() -> None:
    peak = open_device("torch-cpu").memory_peak_bytes()
    assert peak is not None and peak >= 0.9 * psutil.Process().memory_info().rss


def test_opening_undoes_short_products_on_every_switch() -> None:
    torch.set_float32_matmul_precision("medium")
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    runtime = runtime_of(open_device("torch-cpu"))
    assert torch.backends.cuda.matmul.allow_tf32 is False and torch.backends.cudnn.allow_tf32 is False
    assert runtime["float32_matmul_precision"] == "highest"
    assert runtime["fp32_precision"] == runtime["cudnn_conv_fp32_precision"] == "ieee"
    assert runtime["fp32_products"] == "exact" and runtime["device_uuid_reason"]


@pytest.mark.parametrize("name", ["matmul", "nn.functional.conv2d"])
def test_a_product_that_rounds_its_factors_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _, function = name.rpartition(".")
    owner = torch.nn.functional if folder else torch
    exact = getattr(owner, function)
    monkeypatch.setattr(owner, function, lambda a, b: exact(a.bfloat16().float(), b.bfloat16().float()))
    with pytest.raises(Unsupported, match="convolution" if folder else "matrix product"):
        open_device("torch-cpu")


@pytest.mark.parametrize("backend", ["torch-cuda", "torch-rocm"])
def test_an_accelerator_that_pytorch_does_not_find_is_unsupported(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(Unsupported, match=f"^{backend}: .* finds no device"):
        open_device(backend)


def test_a_rocm_build_is_not_taken_for_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.version, "hip", "7.0")
    with pytest.raises(Unsupported, match="built for ROCm"):
        open_device("torch-cuda")


@pytest.mark.parametrize(("capability", "reason"), [((7, 5), "7.5"), ((8, 0), None), ((12, 1), None)])
def test_bf16_needs_compute_capability_8(
    capability: tuple[int, int], reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda handle: capability)
    said = supports_dtype(device("torch-cuda"), "bf16")
    assert (said is None) == (reason is None) and (reason or "") in (said or "")
    assert supports_dtype(device("torch-cuda"), "fp32") is None


@pytest.mark.parametrize("newer", [True, False])
def test_bf16_on_metal_needs_macos_14(newer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda major, minor: newer or (major, minor) < (14, 0))
    if newer:
        return require_dtype(device("torch-mps", "mps"), "bf16")
    with pytest.raises(Unsupported, match=r"^torch-mps: bf16 .*macOS 14; add --set execution.dtype=fp32$"):
        require_dtype(device("torch-mps", "mps"), "bf16")


def test_the_uuid_is_the_drivers(monkeypatch: pytest.MonkeyPatch) -> None:
    found = SimpleNamespace(name="Imaginary H900", total_memory=2**36, uuid="1-2-3")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda handle: found)
    assert device_uuids(device("torch-cuda")) == ("1-2-3",)
    del found.uuid
    assert device_uuids(device("torch-cuda")) == () and torch_facts.uuid(device("torch-cuda")).reason


def test_running_out_of_memory_is_told_from_other_errors() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55)
    assert is_out_of_memory(caught.value, "torch-cpu")
    assert is_out_of_memory(MemoryError(), "torch-cpu")
    assert not is_out_of_memory(RuntimeError("shapes differ"), "torch-cpu")
