"""Where the probes read from: a file tree, commands, the environment. Tests hand in their own."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

COMMAND_LIMIT_S = 2.0
"""Longest a command of the operating system may take, seconds."""


@dataclass(frozen=True, kw_only=True)
class Host:
    """One machine as the probes see it.

    Attributes:
        root: Top of its file tree.
        system: `Linux` or `Darwin`, as `platform.system()` has it.
        machine: Instruction set, such as `x86_64` or `arm64`.
        cpu_count: Logical processors that are online.
        affinity_count: Logical processors that this process may use; None where the system has no such mask.
        run: Runs a command and returns its standard output; None when it is absent, fails or takes too long.
    """

    root: Path
    system: str
    machine: str
    release: str
    cpu_count: int
    affinity_count: int | None
    environment: Mapping[str, str]
    run: Callable[[Sequence[str]], str | None]

    def text(self, path: str) -> str | None:
        """Contents of a file under `root`, stripped; None when it cannot be read."""
        try:
            return (self.root / path).read_text(encoding="utf-8", errors="replace").strip("\0 \n\t")
        except OSError:
            return None

    def integer(self, path: str) -> int | None:
        """A file that holds one decimal number; None when it cannot be read or holds something else."""
        return as_integer(self.text(path))

    def exists(self, path: str) -> bool:
        """Whether `path` is there; False also where nobody may look."""
        try:
            return (self.root / path).exists()
        except OSError:
            return False

    def matches(self, pattern: str) -> list[str]:
        """Paths under `root` that fit a glob pattern, sorted, relative to it."""
        return sorted(str(path.relative_to(self.root)) for path in self.root.glob(pattern))


@dataclass(frozen=True, kw_only=True)
class Gaps:
    """Collects why a field is None; `reasons` becomes `missing` of the system record."""

    reasons: dict[str, str] = field(default_factory=dict)

    def known(self, name: str, value: T | None, reason: str) -> T | None:
        """`value` as it is; where it is None, `reason` is noted under the dotted field `name`."""
        if value is None:
            self.reasons[name] = reason
        return value


def this_host() -> Host:
    """The machine that this process runs on."""
    return Host(
        root=Path("/"),
        system=platform.system(),
        machine=platform.machine(),
        release=platform.release(),
        cpu_count=os.cpu_count() or 1,
        affinity_count=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        environment=dict(os.environ),
        run=run_command,
    )


def run_command(arguments: Sequence[str]) -> str | None:
    """Standard output of a command of the operating system, stripped; None when there is no answer.

    A command that prints an answer and exits with another code than 0 has answered
    (`systemd-detect-virt` says `none` that way).
    """
    try:
        done = subprocess.run(
            list(arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=COMMAND_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace").strip() or None


def as_integer(text: str | None) -> int | None:
    """`text` as a decimal number; None when it is none."""
    try:
        return int(text) if text is not None else None
    except ValueError:
        return None
