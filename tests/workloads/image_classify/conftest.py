"""Settings and tasks of the image benchmark, as the harness would hand them over."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from importlib import resources
from types import SimpleNamespace
from typing import Any

import pytest

from oildrop.workloads.image_classify import data
from oildrop.workloads.image_classify.data import Digits


def flatten(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


@pytest.fixture(scope="session")
def rulebook_file() -> dict[str, Any]:
    return tomllib.loads(resources.files("oildrop.rules.v1").joinpath("image-classify.toml").read_text())


@pytest.fixture(scope="session")
def full_settings(rulebook_file: dict[str, Any]) -> dict[str, Any]:
    """The settings of the `nano` tier."""
    return flatten(rulebook_file["settings"]) | flatten(rulebook_file["gates"], "gates.")


@pytest.fixture(scope="session")
def small_settings(full_settings: dict[str, Any]) -> dict[str, Any]:
    """A narrow model and small batches, for speed."""
    smaller = {"model.width": 8, "data.images_per_batch": 32, "gates.documents": 40, "execution.threads": 1}
    return full_settings | smaller


@pytest.fixture(scope="session")
def digits(full_settings: dict[str, Any]) -> Digits:
    return data.load_digits(full_settings["data.sha256"])


@pytest.fixture
def make_task(small_settings: dict[str, Any]) -> Callable[..., Any]:
    """A built task on the CPU; keyword arguments are settings with `__` for the dot."""
    torch = pytest.importorskip("torch")
    from oildrop.workloads.image_classify.task_torch import ImageClassifyTorch

    def make(**changed: Any) -> ImageClassifyTorch:
        settings = small_settings | {key.replace("__", "."): value for key, value in changed.items()}
        device: Any = SimpleNamespace(backend="torch-cpu", handle=torch.device("cpu"))
        task = ImageClassifyTorch(settings, device)
        task.load_data()
        task.build()
        return task

    return make
