"""Another process that holds the index."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

HOLDER = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "read")
print("held", flush=True)
sys.stdin.read()
"""

Held = Callable[[Path, str], AbstractContextManager["subprocess.Popen[str]"]]


@pytest.fixture
def held() -> Held:
    """Holds an index for writing or reading until the block ends or the process's `stdin` is closed."""

    @contextmanager
    def hold(database: Path, how: str) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, "-P", "-c", HOLDER, str(database), how]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout is not None and holder.stdout.readline() == "held\n"
            try:
                yield holder
            finally:
                holder.kill()

    return hold
