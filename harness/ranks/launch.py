"""What is started for a run: one worker, or the framework's own launcher with a worker for each device.

PyTorch and MLX want a process a device and bring a launcher for it; JAX drives all devices of a host from one process.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from oildrop.harness.ranks.minder import RANK_VARIABLES
from oildrop.rules.records import Scalar
from oildrop.workloads.registry import framework_of

PYTHON = (sys.executable, "-P", "-m")
MINDER = "oildrop.harness.ranks.minder"

FIRST_PORT, LAST_PORT = 20_000, 32_000
"""Under Linux's and macOS's ports for outgoing connections, so that none of those takes one meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How the workers of one run come to be.

    Attributes:
        ranks: Processes that train; each is one rank.
        launcher: Command that starts `ranks` processes of the command after it; () starts the worker itself.
        environment: Variables that they get beside the supervisor's own.
    """

    ranks: int = 1
    launcher: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def devices_of(settings: Mapping[str, Scalar]) -> int:
    """How many devices share each batch; 1 where a benchmark has no such setting."""
    return int(settings.get("execution.devices", 1))


def ranks_of(backend: str, settings: Mapping[str, Scalar]) -> int:
    """How many processes train."""
    return devices_of(settings) if framework_of(backend) in RANK_VARIABLES else 1


def launch_of(backend: str, settings: Mapping[str, Scalar], environment: Mapping[str, str]) -> Launch:
    """The launch of a run on `backend`, where `environment` is the supervisor's.

    Raises:
        OSError: No free ports for MLX's ring.
    """
    devices, framework = devices_of(settings), framework_of(backend)
    if devices == 1:
        return Launch()
    if framework == "torch":
        # The agent's own restarts would not tell us which rank died; the supervisor starts all of them again.
        options = ("--standalone", "--nnodes", "1", "--nproc-per-node", str(devices), "--max-restarts", "0")
        # Each rank then sees its own device alone, under number 0.
        return Launch(
            ranks=devices, launcher=(*PYTHON, "torch.distributed.run", *options, "--virtual-local-rank", "--no-python")
        )
    if framework == "mlx":
        port = str(free_ports(devices))
        program = str(Path(sys.executable).with_name("mlx.launch"))
        return Launch(ranks=devices, launcher=(program, "-n", str(devices), "--starting-port", port, "--"))
    flags = {}
    if backend == "jax-cpu":
        forced = f"--xla_force_host_platform_device_count={devices}"
        flags = {"XLA_FLAGS": f"{environment.get('XLA_FLAGS', '')} {forced}".strip()}
    return Launch(environment=flags)


def command_of(launch: Launch, backend: str, module: str, address: str, arguments: tuple[str, ...]) -> tuple[str, ...]:
    """The whole command: `arguments` go to the worker `module`, behind a minder where a launcher starts it."""
    worker = (*PYTHON, module, *arguments)
    if not launch.launcher:
        return worker
    return (*launch.launcher, *PYTHON, MINDER, framework_of(backend), address, *worker)


def free_ports(count: int) -> int:
    """The first of `count` ports in a row that nobody listens on. Raises OSError where there are none."""
    start = FIRST_PORT + os.getpid() * 7 % (LAST_PORT - FIRST_PORT)  # Two runs at once look in different places.
    for first in [*range(start, LAST_PORT, count), *range(FIRST_PORT, start, count)]:
        try:
            with ExitStack() as stack:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise OSError(f"no {count} free ports in a row between {FIRST_PORT} and {LAST_PORT}; end what listens there")
