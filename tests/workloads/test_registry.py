"""Which frameworks a task is written in, and what is said where it is not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import oildrop.workloads
from oildrop.rules.errors import Unsupported
from oildrop.workloads.registry import frameworks_of, make_serve_task, make_train_task


@pytest.fixture
def served_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A served task that is written in JAX alone."""
    folder = tmp_path / "toy_served"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "model_jax.py").write_text("")
    (folder / "serving.py").write_text("def make_task(settings, device):\n    return settings, device\n")
    monkeypatch.setattr(oildrop.workloads, "__path__", [*oildrop.workloads.__path__, str(tmp_path)])
    yield "toy_served"
    for name in [name for name in sys.modules if name.startswith("oildrop.workloads.toy_served")]:
        del sys.modules[name]


def device_of(backend: str) -> Any:
    return SimpleNamespace(backend=backend)


def test_a_trained_task_is_written_in_all() -> None:
    assert frameworks_of("lm_pretrain") == ("torch", "jax", "mlx")
    assert frameworks_of("no_such_task") == ()


def test_a_served_task_is_written_where_its_model_is(served_task: str) -> None:
    assert frameworks_of(served_task) == ("jax",)


def test_a_served_task_is_made_of_its_settings_and_device(served_task: str) -> None:
    device = device_of("jax-cpu")
    made: Any = make_serve_task(served_task, {"a": 1}, device)
    assert made == ({"a": 1}, device)


def test_other_frameworks_are_refused_by_name(served_task: str) -> None:
    with pytest.raises(Unsupported, match="toy_served has no torch implementation; it has jax"):
        make_serve_task(served_task, {}, device_of("torch-cpu"))
    with pytest.raises(Unsupported, match="no_such_task has no mlx implementation; it has none"):
        make_train_task("no_such_task", {}, device_of("mlx-cpu"))
