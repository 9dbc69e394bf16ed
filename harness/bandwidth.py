"""How fast this machine's processor reads its memory: the bandwidth that a decoder's memory traffic is held against.

Run as a module, it reads and answers with bytes a second: `python -P -m oildrop.harness.bandwidth BYTES THREADS`.
In a process of its own, because a buffer of several caches would count as the worker's memory.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from oildrop.harness.meters.isolation import ask_module
from oildrop.harness.system.cpu import l3_bytes
from oildrop.harness.system.source import this_host

CACHE_FACTOR = 4
"""A buffer of so many last-level caches is read from memory."""

READS = 5
LIMIT_S = 20.0
METHOD = f"NumPy sums of 64-bit integers, one block a thread, best of {READS} reads"


def measure_read_bandwidth(size_bytes: int, threads: int) -> float:
    """Bytes a second at which `threads` threads read a buffer of `size_bytes` together, best of several times."""
    blocks = np.array_split(np.ones(size_bytes // 8, dtype=np.uint64), threads)
    fastest_s = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(READS):
            start = time.perf_counter()
            total = sum(pool.map(_sum, blocks))
            fastest_s = min(fastest_s, time.perf_counter() - start)
    return 8 * total / fastest_s


def bandwidth_meta(backend: str, weight_bytes: int, threads: int) -> dict[str, Any]:
    """What the log says of memory: the last-level cache, and the read bandwidth where it matters.

    It is measured where a decode step reads its weights from the processor's memory: fewer than four caches full may
    partly stay there, and an accelerator has a memory of its own.
    """
    cache_bytes = l3_bytes(this_host())
    meta: dict[str, Any] = {"last_level_cache_bytes": cache_bytes, "read_bandwidth_bytes_per_s": None}
    if not backend.endswith("-cpu") or cache_bytes is None or weight_bytes < CACHE_FACTOR * cache_bytes:
        return meta
    size_bytes = CACHE_FACTOR * cache_bytes
    answer = ask_module(__name__, str(size_bytes), str(threads), limit_s=LIMIT_S)
    if answer.value is None:
        return {**meta, "read_bandwidth_reason": answer.reason}
    method = f"{METHOD}; {threads} threads, {size_bytes} bytes"
    return {**meta, "read_bandwidth_bytes_per_s": answer.value, "read_bandwidth_method": method}


def _sum(block: Any) -> int:
    return int(np.add.reduce(block))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure_read_bandwidth(int(sys.argv[1]), int(sys.argv[2]))) + "\n")
