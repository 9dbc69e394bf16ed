"""Listens for runs of another machine whose prompts are read here: one at a time, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, Listener

from oildrop.harness.child import PYTHON
from oildrop.harness.prefill_elsewhere import keep_alive
from oildrop.rules.errors import OildropError
from oildrop.workloads.link import PROTOCOL, Link, Message

HELLO_WAIT_S = 10.0
Tell = Callable[[str], None]


def listen(place: tuple[str, int], key: bytes, backend: str, tell: Tell, *, until: Callable[[], bool]) -> None:
    """Serve runs on `backend` until `until` says so after one of them or after a refusal.

    Args:
        tell: Gets a line on what happens.

    Raises:
        OSError: The place cannot be listened on.
    """
    with Listener(place, authkey=key) as listener:
        host, port = listener.address[:2]
        tell(f"listening on {host}:{port} for prompts to read on {backend}")
        while True:
            try:
                connection = listener.accept()
            except AuthenticationError:
                tell("refused: another secret")
            except (EOFError, OSError):
                continue  # Somebody only knocked.
            else:
                with connection:
                    tell(_served(connection, backend))
            if until():
                return


def refusal(hello: Message, backend: str) -> str | None:
    """Why the run that says `hello` cannot be served here; None where it can."""
    if hello.kind != "hello":
        return "it does not say what it is"
    mine = {"protocol": PROTOCOL, "oildrop": version("oildrop"), "backend": backend}
    for name, here in mine.items():
        there = hello.values.get(name)
        if there != here:
            fix = f"set execution.prefill_backend={here}" if name == "backend" else "install the same Oildrop on both"
            return f"{name} is {here} on the machine that reads prompts and {there} in the run; {fix}"
    return None


def _served(connection: Connection, backend: str) -> str:
    """Serve one run; what to tell of it."""
    keep_alive(connection)
    link = Link(connection)
    try:
        if not connection.poll(HELLO_WAIT_S):
            return "refused: said nothing"
        why = refusal(link.receive(), backend)
        if why is not None:
            link.send("unsupported", {"reason": why})
            return f"refused: {why}"
    except OildropError as error:
        return f"refused: {error}"
    descriptor = connection.fileno()
    command = [*PYTHON, "oildrop.harness.prefill_process", backend, str(descriptor), "--elsewhere"]
    status = subprocess.run(command, stdin=subprocess.DEVNULL, pass_fds=[descriptor], env=dict(os.environ)).returncode
    return "read the prompts of one run" if status == 0 else f"the process that read prompts ended with {status}"
