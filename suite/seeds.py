"""Which seed numbers a set has used: every registered run counts, failures too."""

from __future__ import annotations

import json

from oildrop.results.layout import StoreLayout


def used_seed_indices(layout: StoreLayout, set_id: str) -> set[int]:
    """Seed numbers of all registered runs of `set_id`, read from their specs; chosen seeds do not count."""
    used = set()
    for path in layout.runs.glob("*/spec.json"):
        try:
            spec = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        if spec.get("set_id") == set_id and not spec.get("seeds_chosen") and isinstance(spec.get("seed_index"), int):
            used.add(spec["seed_index"])
    return used
