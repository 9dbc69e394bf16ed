"""What the Linux kernel counts that a supervisor must know."""

from __future__ import annotations

from pathlib import Path

VMSTAT = Path("/proc/vmstat")


def oom_kills(path: Path = VMSTAT) -> int | None:
    """Processes that the kernel has killed for lack of memory since boot; None where it does not count."""
    try:
        text = path.read_text()
    except OSError:
        return None
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill":
            return int(value)
    return None
