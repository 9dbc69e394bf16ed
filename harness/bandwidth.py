"""How fast this machine's processor reads its memory: the bandwidth that a decoder's memory traffic is held against.

Run as a module, it reads and answers with bytes a second: `python -P -m oildrop.harness.bandwidth BYTES THREADS`, or,
with how often, with the seconds of each read and each copy: `… BYTES THREADS REPEATS`.
In a process of its own, because a buffer of several caches would count as the worker's memory.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from oildrop.harness.meters.isolation import Answer, ask_module
from oildrop.harness.system.cpu import l3_bytes
from oildrop.harness.system.source import this_host

CACHE_FACTOR = 4
"""A buffer of so many last-level caches is read from memory."""

READS = 5
LIMIT_S = 20.0
SUMS = "NumPy sums of 64-bit integers, one block a thread"
METHOD = f"{SUMS}, best of {READS} reads"


def measure_read_bandwidth(size_bytes: int, threads: int) -> float:
    """Bytes a second at which `threads` threads read a buffer of `size_bytes` together, best of several times."""
    return size_bytes // 8 * 8 / min(read_times_s(size_bytes, threads, READS))


def read_times_s(size_bytes: int, threads: int, repeats: int) -> list[float]:
    """Seconds of each of `repeats` reads of one buffer of 64-bit numbers, a block a thread.

    Raises:
        ArithmeticError: A read missed part of the buffer.
    """
    numbers = np.ones(size_bytes // 8, dtype=np.uint64)
    blocks, times_s = np.array_split(numbers, threads), []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(repeats):
            start = time.perf_counter()
            total = sum(pool.map(_sum, blocks))
            times_s.append(time.perf_counter() - start)
            if total != len(numbers):
                raise ArithmeticError(f"{total} of {len(numbers)} numbers were read")
    return times_s


def copy_times_s(size_bytes: int, threads: int, repeats: int) -> list[float]:
    """Seconds of each of `repeats` copies of such a buffer into another, a block a thread; the first is not counted.

    Raises:
        ArithmeticError: A copy is not what was copied.
    """
    source = np.arange(size_bytes // 8, dtype=np.uint64)
    target = np.empty_like(source)
    pairs = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    times_s = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(1 + repeats):
            start = time.perf_counter()
            list(pool.map(_copy, pairs))
            times_s.append(time.perf_counter() - start)
    if not np.array_equal(source, target):
        raise ArithmeticError("a copy differs from its source")
    return times_s[1:]


def ask_times_s(size_bytes: int, threads: int, repeats: int, *, limit_s: float = LIMIT_S) -> Answer:
    """Both in a child: `{"read": [seconds, …], "copy": [seconds, …]}`, or why there are none."""
    return ask_module(__name__, str(size_bytes), str(threads), str(repeats), limit_s=limit_s)


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


def _copy(pair: tuple[Any, Any]) -> None:
    np.copyto(*pair)


def _answer(size_bytes: int, threads: int, repeats: int = 0) -> Any:
    if not repeats:
        return measure_read_bandwidth(size_bytes, threads)
    return {"read": read_times_s(size_bytes, threads, repeats), "copy": copy_times_s(size_bytes, threads, repeats)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_answer(*map(int, sys.argv[1:]))) + "\n")
