"""Main memory, swap, and a container's limit."""

from __future__ import annotations

import psutil

from oildrop.harness.system.cgroups import memory_limit_bytes
from oildrop.harness.system.source import Gaps, Host
from oildrop.harness.system.sysctl import number, read_sysctl, swap_total_bytes
from oildrop.rules.system import Memory


def read_memory(host: Host, gaps: Gaps) -> Memory:
    """Memory of `host` in bytes. Swap of 0 bytes is an answer, not a gap."""
    if host.system == "Darwin":
        values = read_sysctl(host)
        total, swap = number(values, "hw.memsize"), swap_total_bytes(values)
    else:
        fields = parse_meminfo(host.text("proc/meminfo") or "")
        total, swap = fields.get("MemTotal"), fields.get("SwapTotal")
    total = total or psutil.virtual_memory().total
    limit = memory_limit_bytes(host)
    binding = limit if limit is not None and limit < total else None
    return Memory(
        total_bytes=total,
        swap_bytes=gaps.known("memory.swap_bytes", swap, "the system does not tell its swap"),
        limit_bytes=gaps.known("memory.limit_bytes", binding, "no limit below the total is set"),
    )


def parse_meminfo(text: str) -> dict[str, int]:
    """Fields of /proc/meminfo in bytes (the text counts kibibytes)."""
    fields = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        words = value.split()
        if len(words) == 2 and words[1] == "kB" and words[0].isdigit():
            fields[name] = int(words[0]) * 1024
    return fields
