"""Digits and tasks of the image benchmark, as the harness would hand them over."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from oildrop.workloads.image_classify import data
from oildrop.workloads.image_classify.data import Digits


@pytest.fixture(scope="session")
def digits(full_settings: dict[str, Any]) -> Digits:
    return data.load_digits(full_settings["data.sha256"])


@pytest.fixture
def make_task(small_settings: dict[str, Any]) -> Callable[..., Any]:
    """A built task on the CPU; keyword arguments are settings with `__` for the dot."""
    torch = pytest.importorskip("torch")
    from oildrop.workloads.registry import make_train_task

    def make(**changed: Any) -> Any:
        settings = small_settings | {key.replace("__", "."): value for key, value in changed.items()}
        device: Any = SimpleNamespace(backend="torch-cpu", handle=torch.device("cpu"))
        task = make_train_task("image_classify", settings, device)
        task.load_data()
        task.build()
        return task

    return make
