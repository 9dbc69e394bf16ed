"""Names made by hashing: seeds, workload, set. Same inputs, same name, on every machine."""

from __future__ import annotations

import hashlib

from oildrop.rules.canonical import sha256_of
from oildrop.rules.records import Scalar

ID_DIGITS = 16
SEED_HEX_DIGITS = 13


def rulebook_seed(benchmark_sha256: str, index: int) -> int:
    """Seed number `index` of a benchmark: no shopping, and the same pairs everywhere.

    SHA-256 over the benchmark's hash (64 hex digits as ASCII) followed by the index in decimal; its first
    13 hex digits are the seed, so that it is exact as a JSON number (52 bits).
    """
    digest = hashlib.sha256(f"{benchmark_sha256}{index}".encode()).hexdigest()
    return int(digest[:SEED_HEX_DIGITS], 16)


def workload_id(
    benchmark_sha256: str, tier: str, division: str, settings: dict[str, Scalar], beside: str | None = None
) -> str:
    """16 hex digits over what is computed: benchmark, tier, division, resolved settings.

    Args:
        beside: `workload_id` of what is computed on the same device at the same time; None: nothing is.
    """
    content = {"benchmark_sha256": benchmark_sha256, "tier": tier, "division": division, "settings": settings}
    return sha256_of(content | ({} if beside is None else {"beside": beside}))[:ID_DIGITS]


def set_id(store_id: str, backend: str, workload: str, system: str, software: str) -> str:
    """16 hex digits over one configuration on one backend in one store: the unit that numbers its seeds."""
    return sha256_of(
        {"store": store_id, "backend": backend, "workload": workload, "system": system, "software": software}
    )[:ID_DIGITS]
