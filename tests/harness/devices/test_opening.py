"""From a backend's name to a device, and what the worker makes of one that lacks the run's dtype."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from oildrop.harness import phases, training, worker
from oildrop.harness.devices import opening
from oildrop.harness.devices.opening import is_out_of_memory, open_device
from oildrop.rules.errors import Unsupported

MLX_CHILD = """
import os, sys
from oildrop.harness.devices.opening import open_device, runtime_of
assert "mlx" not in sys.modules
device = open_device("mlx-cpu")
assert os.environ["MLX_ENABLE_TF32"] == "0"
assert runtime_of(device)["fp32_products"] == "exact"
import mlx.core as mx
exact = mx.matmul
mx.matmul = lambda a, b, stream: exact(a.astype(mx.bfloat16), b.astype(mx.bfloat16), stream=stream).astype(mx.float32)
try:
    open_device("mlx-cpu")
except Exception as error:
    print(error)
print(sorted({"torch", "jax"} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("framework", "title", "error"),
    [
        ("torch", "PyTorch", ImportError("libcudart.so.13: cannot open shared object file")),
        ("jax", "JAX", RuntimeError("this jaxlib was built for processors with AVX")),
        ("mlx", "MLX", OSError("libmlx.so: wrong ELF class")),
    ],
)
def test_a_framework_that_cannot_be_imported_is_unsupported_with_the_fix(
    framework: str, title: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(module: str) -> None:
        assert module == f"oildrop.harness.devices.{framework}_devices"
        raise error

    monkeypatch.setattr(opening, "import_module", fail)
    with pytest.raises(Unsupported) as caught:
        open_device(f"{framework}-cpu")
    assert str(caught.value) == (
        f"{framework}-cpu: {title} cannot be imported ({type(error).__name__}: {error}); "
        f"pip install 'oildrop[{framework}]'"
    )


def test_without_its_framework_only_python_itself_runs_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(module: str) -> None:
        raise ImportError(module)

    monkeypatch.setattr(opening, "import_module", fail)
    assert not is_out_of_memory(RuntimeError("out of memory"), "torch-cpu")
    assert is_out_of_memory(MemoryError(), "torch-cpu")


def test_mlx_opens_alone_with_its_short_products_off_and_is_refused_when_they_are_on() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", MLX_CHILD], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    refusal, others = done.stdout.splitlines()
    assert refusal.startswith("mlx-cpu: an fp32 matrix product is off by")
    assert others == "[]"


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_the_worker_refuses_a_dtype_before_it_touches_the_task(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(device: Any, name: str, asked: str) -> str | None:
        return "a GPU of 2017" if (name, asked) == ("missing_dtype", "bf16") else None

    def emit(key: str, *rest: Any) -> None:
        raise ZeroDivisionError("went on")

    monkeypatch.setattr(opening, "_facts", lacks)
    monkeypatch.setattr(training, "benchmark_of", lambda spec, emitter: None)
    monkeypatch.setattr(phases, "open_device", lambda backend: SimpleNamespace(backend=backend))
    monkeypatch.setattr(phases, "device_uuids", lambda device: ())
    spec: Any = SimpleNamespace(
        backend="torch-cuda", kind="to_target", scenario=None, settings={"execution.dtype": dtype}
    )
    sink: Any = SimpleNamespace(emit=emit)
    orders: Any = SimpleNamespace(rank=0)
    claim, reason = worker._attempt(spec, orders, sink, sink)
    expected = {
        "fp32": ("crash", "ZeroDivisionError: went on"),
        "bf16": (
            "unsupported",
            "torch-cuda: bf16 is not offered by a GPU of 2017; add --set execution.dtype=fp32",
        ),
    }
    assert (claim, reason) == expected[dtype]
