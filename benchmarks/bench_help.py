"""How long `oildrop --help` takes as a whole process."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from pairs import mean_row
from table import Row

CALLS = 15


def main() -> list[Row]:
    """Seconds from start to exit, after one call that warms the file cache."""
    command = [str(Path(sys.executable).with_name("oildrop")), "--help"]
    times_s = []
    for _ in range(CALLS + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times_s.append(time.perf_counter() - start)
    return [mean_row("oildrop --help, whole process", times_s[1:], "s", at_most=0.3)]
