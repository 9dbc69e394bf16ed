"""A process in which prompts are read for a serving worker; `execution.transfer` says how caches come over.

It is started here, or it listens on another machine, whose address and key are in the environment.
"""

from __future__ import annotations

import mmap
import os
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

from oildrop.harness.child import PYTHON
from oildrop.harness.messages import Emitter
from oildrop.harness.prefill_elsewhere import reach
from oildrop.rules import keys
from oildrop.rules.errors import UsageError
from oildrop.workloads.link import Link
from oildrop.workloads.lm_generate.disaggregated import done
from oildrop.workloads.lm_generate.shapes import area_bytes
from oildrop.workloads.protocols import Settings
from oildrop.workloads.served_protocols import Disaggregating, ServeTask, Transfers

ALONE = "none"
"""`execution.transfer` where one process reads prompts and decodes."""

QUIET = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Threads that wait for work spin by default: those of one process would spin while the other works.

On two busy cores a pair of torch-cpu processes said about 80 tokens/s without it and 1,450 with it.
"""


def prefill_beside(settings: Settings, backend: str, emitter: Emitter) -> Link | None:
    """The way to a process that reads prompts, told to the supervisor; None where the worker does it itself.

    It is told before the worker itself is, so that meters are opened for the devices of both.

    Args:
        backend: The worker's, which the other process shares unless `execution.prefill_backend` names one.

    Raises:
        Unsupported: The other backend cannot run there, or nobody listens.
    """
    transfer = settings.get("execution.transfer", ALONE)
    if transfer == ALONE:
        return None
    reader = str(settings["execution.prefill_backend"] or backend)
    if settings.get("execution.prefill_machine") == "other":
        link, told = reach(reader, os.environ)
        _introduce(told, emitter)
        return link
    mine, theirs = _tcp_pair() if transfer == "tcp" else socket.socketpair()
    command = [*PYTHON, "oildrop.harness.prefill_process", reader]
    area = None
    with theirs, tempfile.TemporaryFile(dir=_memory()) as pages:
        inherited = [theirs.fileno()]
        command.append(str(theirs.fileno()))
        if transfer == "shared-memory":
            size = area_bytes(settings)
            pages.truncate(size)
            area = mmap.mmap(pages.fileno(), size)
            inherited.append(pages.fileno())
            command += ["--area", str(pages.fileno()), str(size)]
        # The worker ends without waiting; the process ends when its end of the socket closes.
        subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=inherited, env={**os.environ, **QUIET})
    link = Link(Connection(mine.detach()), area)
    _introduce(done(link.receive()).values, emitter)
    return link


def _introduce(told: Mapping[str, Any], emitter: Emitter) -> None:
    emitter.emit(keys.PROCESS, "prefill", {**told, "role": "prefill"})
    emitter.flush()


def read_through(task: ServeTask, link: Link | None) -> None:
    """Have `task` read its prompts over `link`. Raises UsageError where it cannot."""
    if link is None:
        return
    if not isinstance(task, Disaggregating):
        raise UsageError(
            "execution.transfer: this benchmark reads and answers in one process; use execution.transfer=none"
        )
    task.prefill_through(link)


def transfers_of(task: ServeTask) -> Transfers:
    """What `task` has had sent over so far."""
    return task.transfers() if isinstance(task, Disaggregating) else Transfers()


def _tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of one connection through this machine's network stack."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        mine = socket.create_connection(listener.getsockname())
        theirs, address = listener.accept()
        if address != mine.getsockname():
            raise ConnectionError(f"{address} connected to the port of the prefill process; start the run again")
    for end in (mine, theirs):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return mine, theirs


def _memory() -> str | None:
    """Where a file's pages stay in memory; None for the usual place, where the system has no such folder."""
    return "/dev/shm" if os.path.isdir("/dev/shm") else None
