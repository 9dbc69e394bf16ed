"""What is started for a run on several devices."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from oildrop.harness.ranks import launch
from oildrop.harness.ranks.launch import command_of, free_ports, launch_of, ranks_of

TWO = {"execution.devices": 2}


@pytest.mark.parametrize("backend", ["torch-cpu", "jax-cpu", "mlx-cpu"])
def test_one_device_is_one_worker_without_a_launcher(backend: str) -> None:
    found = launch_of(backend, {"execution.devices": 1}, {})
    assert (found.ranks, found.launcher, dict(found.environment)) == (1, (), {})
    command = command_of(found, backend, "a.worker", "7", ("/run", "7"))
    assert command == (sys.executable, "-P", "-m", "a.worker", "/run", "7")


def test_a_benchmark_without_the_setting_has_one_device() -> None:
    assert ranks_of("torch-cpu", {}) == 1


def test_torch_is_started_by_its_own_launcher_with_a_minder_over_each_rank() -> None:
    found = launch_of("torch-cuda", TWO, {})
    command = command_of(found, "torch-cuda", "a.worker", "/s", ("/run", "/s"))
    assert found.ranks == ranks_of("torch-cuda", TWO) == 2
    assert command[:4] == (sys.executable, "-P", "-m", "torch.distributed.run")
    assert command[command.index("--nproc-per-node") + 1] == "2"
    minder = command.index("oildrop.harness.ranks.minder")
    assert command[minder + 1 :] == ("torch", "/s", sys.executable, "-P", "-m", "a.worker", "/run", "/s")


def test_mlx_is_started_by_its_own_launcher() -> None:
    found = launch_of("mlx-cpu", TWO, {})
    assert (found.ranks, Path(found.launcher[0]).name, found.launcher[1:3]) == (2, "mlx.launch", ("-n", "2"))


def test_jax_drives_its_devices_from_one_process() -> None:
    found = launch_of("jax-cpu", {"execution.devices": 8}, {"XLA_FLAGS": "--xla_a=1"})
    assert (found.ranks, found.launcher, ranks_of("jax-cpu", {"execution.devices": 8})) == (1, (), 1)
    assert found.environment == {"XLA_FLAGS": "--xla_a=1 --xla_force_host_platform_device_count=8"}
    assert launch_of("jax-cuda", {"execution.devices": 8}, {}).environment == {}


def test_taken_ports_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    first = free_ports(3)
    monkeypatch.setattr(launch, "FIRST_PORT", first)
    monkeypatch.setattr(launch, "LAST_PORT", first + 6)
    monkeypatch.setattr("os.getpid", lambda: 6)  # so that the search begins at the first port
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first + 1))
        assert free_ports(3) == first + 3


def test_no_free_ports_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "FIRST_PORT", 20_000)
    monkeypatch.setattr(launch, "LAST_PORT", 20_001)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 20_000))
        with pytest.raises(OSError, match="no 1 free ports"):
            free_ports(1)
