"""Prefix caches: whether a served run declares one, and how such a run is kept apart from others.

A run that answers from a cache, or whose prompts begin alike, does other work than one that reads every prompt whole.
"""

from __future__ import annotations

from collections.abc import Mapping

from oildrop.rules.records import Scalar

SETTINGS = ("execution.prefix_cache", "endpoint.prefix_cache")
"""Of an engine of ours, and of a server that somebody else runs: `on` or `off`."""


def declares_cache(settings: Mapping[str, Scalar]) -> bool:
    """Whether what was read before may be used again."""
    return any(settings.get(key) == "on" for key in SETTINGS)


def cache_track(settings: Mapping[str, Scalar]) -> str | None:
    """What sets such a run apart, in words, as `prefix cache, 16 shared tokens`; None of one that every other is like.

    Only runs of one track are ranked together.
    """
    shared = settings.get("requests.shared_prefix_tokens")
    words = ["prefix cache"] if declares_cache(settings) else []
    if isinstance(shared, int) and shared > 0:
        words.append(f"{shared} shared tokens")
    return ", ".join(words) or None


def looks_for_cache(settings: Mapping[str, Scalar]) -> bool:
    """Whether a run of these settings asks prompts again after its clock: none is declared, and new ones are there."""
    return not declares_cache(settings) and settings.get("requests.prompts") == "unique"
