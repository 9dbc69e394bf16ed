"""Each framework's products are right in every format, and each piece of work does what it says as often as asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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


def matrix_of(seed: int) -> Any:
    """Numbers from -2 to 2 in steps of 2 seed + 1, row by row."""
    return np.array([k * (2 * seed + 1) % 5 - 2 for k in range(WIDTH * WIDTH)]).reshape(WIDTH, WIDTH)


@contextmanager
def handed_over(framework: str) -> Iterator[list[Any]]:
    """The result of each piece of work that is handed to the framework."""
    results: list[Any] = []

    def noted(once: Any) -> Any:
        return lambda *words, **named: results.append(once(*words, **named)) or results[-1]

    with pytest.MonkeyPatch.context() as patch:
        if framework == "torch":
            dispatch = import_module("torch.utils._python_dispatch")

            class Noting(dispatch.TorchDispatchMode):  # type: ignore[misc, name-defined]
                def __torch_dispatch__(self, one: Any, types: Any, words: Any = (), named: Any = None) -> Any:
                    timed = one.name().split(".")[0] in ("aten::mm", "aten::matmul", "aten::sum", "aten::copy_")
                    return (noted(one) if timed else one)(*words, **(named or {}))

            with Noting():
                yield results
            return
        if framework == "jax":
            jax = import_module("jax")
            jit = jax.jit
            patch.setattr(jax, "jit", lambda function: noted(jit(function)))
            patch.setattr(jax, "device_put", noted(jax.device_put))
        else:
            mx = import_module("mlx.core")
            patch.setattr(mx, "async_eval", noted(lambda array: array))
        yield results


@pytest.mark.parametrize(
    ("name", "sizes", "result"),
    [
        ("products", ("fp32", WIDTH), matrix_of(1) @ matrix_of(2)),
        ("reads", (4096,), np.array(1024.0)),  # of ones, each of 4 bytes
        ("copies", (4096,), np.ones(1024)),
        ("copies_from_host", (64,), np.ones(16)),
    ],
)
def test_work_is_done_as_often_as_it_is_asked_for(kernels: Any, name: str, sizes: tuple[Any, ...], result: Any) -> None:
    framework = type(kernels).__module__.rsplit("_", 1)[1]
    if name == "copies" and framework != "torch":
        result = -result  # A lazy framework may leave out a copy that changes nothing.
    with handed_over(framework) as results:
        work = getattr(kernels, name)(*sizes)
        for count in (1, 3):
            results.clear()
            work(count)
            assert [np.asarray(each).tolist() for each in results] == [result.tolist()] * count


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
