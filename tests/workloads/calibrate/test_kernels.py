"""Each framework's products are right in every format, and each piece of work does what it says as often as asked."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest

from oildrop.harness.devices.opening import open_device
from oildrop.workloads.calibrate.kernels import DTYPES, ITEM_BYTES, prove
from oildrop.workloads.registry import frameworks_of, make_kernels

BACKENDS = ("torch-cpu", "jax-cpu", "mlx-cpu")
WIDTH = 16


@pytest.fixture(params=BACKENDS)
def kernels(request: pytest.FixtureRequest) -> Any:
    pytest.importorskip({"mlx-cpu": "mlx.core"}.get(request.param, request.param.split("-")[0]))
    return make_kernels({"execution.threads": 1}, open_device(request.param))


def test_it_is_written_in_every_framework() -> None:
    assert frameworks_of("calibrate") == ("torch", "jax", "mlx")
    assert set(ITEM_BYTES) == set(DTYPES)


def test_products_of_whole_numbers_are_exact_in_every_format_that_is_not_missing(kernels: Any) -> None:
    missing = kernels.missing()
    assert "fp32" not in missing and all(missing.values())
    for dtype in DTYPES:
        if dtype not in missing:
            assert prove(kernels, dtype).passed, dtype


def test_a_product_that_is_off_is_told(kernels: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "multiply", lambda dtype, left, right: left.astype(np.int64) @ right + 1)
    found = prove(kernels, "fp32")
    assert (found.passed, found.value) == (False, 64.0 * 64.0)


def test_work_can_be_asked_for_any_number_of_times(kernels: Any) -> None:
    for work in (
        kernels.products("fp32", WIDTH),
        kernels.reads(4096),
        kernels.copies(4096),
        kernels.copies_from_host(64),
    ):
        work(1)
        work(3)


@pytest.mark.parametrize("framework", ["torch", "jax", "mlx"])
def test_matrices_hold_no_denormal_numbers_and_are_not_all_the_same(framework: str) -> None:
    pytest.importorskip("mlx.core" if framework == "mlx" else framework)
    module = import_module(f"oildrop.workloads.calibrate.kernels_{framework}")
    if framework == "mlx":
        matrix = np.array(module._matrix(WIDTH, 1))
    else:
        made = make_kernels({"execution.threads": 1}, open_device(f"{framework}-cpu"))
        matrix = np.asarray(made._matrix(WIDTH, 1) if framework == "torch" else made._matrix(WIDTH, 1, np.float32))
    assert set(np.unique(matrix)) == {-2, -1, 0, 1, 2}


def test_tf32_is_on_inside_its_own_products_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    module = import_module("oildrop.workloads.calibrate.kernels_torch")
    before = torch.backends.cuda.matmul.fp32_precision
    with module._precision("tf32"):
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
    assert torch.backends.cuda.matmul.fp32_precision == before
    with module._precision("bf16"):
        assert torch.backends.cuda.matmul.fp32_precision == before


def test_old_nvidia_devices_lack_what_came_later() -> None:
    pytest.importorskip("torch")
    module = import_module("oildrop.workloads.calibrate.kernels_torch")
    assert set(dict(module._missing_on_cuda((7, 0)))) == {"tf32", "bf16", "int8"}
    assert set(dict(module._missing_on_cuda((7, 5)))) == {"tf32", "bf16"}
    assert dict(module._missing_on_cuda((9, 0))) == {}
