"""Which seed numbers a set has used: every registered run counts, failures too.

The probes of a search number theirs apart, so that how long a search took does not decide which seeds are measured.
"""

from __future__ import annotations

import json

from oildrop.results.layout import StoreLayout


def used_seed_indices(layout: StoreLayout, set_id: str, kind: str) -> set[int]:
    """Seed numbers of all registered runs of `set_id` and `kind`, read from their specs; chosen seeds do not count."""
    used = set()
    for path in layout.runs.glob("*/spec.json"):
        try:
            spec = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        if (spec.get("set_id"), spec.get("kind")) != (set_id, kind) or spec.get("seeds_chosen"):
            continue
        if isinstance(spec.get("seed_index"), int):
            used.add(spec["seed_index"])
    return used


def next_seed_indices(layout: StoreLayout, set_id: str, kind: str, count: int) -> tuple[int, ...]:
    """The `count` lowest seed numbers that no registered run of the set and kind has used."""
    used = used_seed_indices(layout, set_id, kind)
    free = (index for index in range(len(used) + count) if index not in used)
    return tuple(next(free) for _ in range(count))
