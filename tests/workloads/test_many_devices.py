"""The same small decoder on one device and on several: same batches, losses and evaluation, in each framework."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from oildrop.harness.ranks.launch import launch_of

CHILD = Path(__file__).parent / "fakes" / "first_steps.py"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@cache
def first_steps(backend: str, devices: int, sharding: str = "replicated") -> dict[str, Any]:
    """What the ranks found, each framework in processes of its own."""
    launch = launch_of(backend, {"execution.devices": devices}, {})
    with TemporaryDirectory() as folder:
        found = Path(folder) / "found.json"
        command = [*launch.launcher, sys.executable, "-P", str(CHILD), backend, str(devices), sharding, str(found)]
        environment = {**os.environ, **launch.environment}
        done = subprocess.run(command, env=environment, stdin=subprocess.PIPE, capture_output=True, text=True)
        assert found.exists(), done.stderr[-3000:]
        made: dict[str, Any] = json.loads(found.read_text())
        return made


@pytest.mark.parametrize(
    ("backend", "devices", "sharding"),
    [
        ("torch-cpu", 2, "replicated"),
        ("torch-cpu", 2, "sharded"),
        ("jax-cpu", 8, "replicated"),
        ("mlx-cpu", 2, "replicated"),
    ],
)
def test_several_devices_train_as_one(backend: str, devices: int, sharding: str) -> None:
    one, several = first_steps(backend, 1), first_steps(backend, devices, sharding)
    assert several["digest"] == one["digest"]
    assert several["digest"][1] == len(several["losses"]) == 20
    assert several["losses"] == pytest.approx(one["losses"], rel=1e-4)
    assert several["losses"] != several["losses"][:1] * 20
    assert several["documents"] == pytest.approx(one["documents"], rel=1e-4)


def test_frameworks_consume_the_same_batches_on_any_number_of_devices() -> None:
    digests = {first_steps(backend, 1)["digest"][0] for backend in ("torch-cpu", "jax-cpu", "mlx-cpu")}
    assert len(digests) == 1


@pytest.mark.parametrize("backend", ["jax-cpu", "mlx-cpu"])
def test_engines_that_keep_whole_weights_refuse_to_cut_them(backend: str) -> None:
    command = [sys.executable, "-P", str(CHILD), backend, "2", "sharded", os.devnull]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "Unsupported: execution.sharding is sharded" in done.stderr
