"""A task whose answers come in one pass, on this machine's processor in any framework, and its answers to requests."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from oildrop.workloads.registry import make_serve_task
from oildrop.workloads.served_protocols import ServeTask


def device(framework: str) -> Any:
    if framework == "torch":
        torch = pytest.importorskip("torch")
        return SimpleNamespace(backend="torch-cpu", handle=torch.device("cpu"))
    if framework == "jax":
        jax = pytest.importorskip("jax")
        jax.config.update("jax_platforms", "cpu")
        return SimpleNamespace(backend="jax-cpu", handle=jax.devices("cpu")[0])
    mx = pytest.importorskip("mlx.core")
    return SimpleNamespace(backend="mlx-cpu", handle=mx.cpu)


def built(name: str, framework: str, settings: dict[str, Any]) -> ServeTask:
    task = make_serve_task(name, settings, device(framework))
    task.load_data()
    task.build()
    return task


def answered(task: ServeTask, indices: Sequence[int]) -> dict[int, tuple[int, ...]]:
    task.admit(list(indices))
    sent: dict[int, tuple[int, ...]] = {}
    while emissions := task.step():
        sent |= {emission.index: emission.tokens for emission in emissions}
    return sent
