"""What sets a run apart from others of its benchmark, so that only like is ranked with like."""

from __future__ import annotations

from oildrop.rules.prefix_cache import cache_track
from oildrop.rules.records import RunSpec


def track_of(spec: RunSpec) -> str | None:
    """In words, as `prefix cache` or `beside lm-generate nano single-stream`; None of a run that all others are like.

    Only runs of one track are ranked together.
    """
    beside = None if spec.colocation is None else spec.colocation.beside
    words = [cache_track(spec.settings), None if beside is None else f"beside {beside}"]
    return ", ".join(word for word in words if word) or None
