"""Where each page lives: addresses that stay the same for ever, safe for any text inside a bundle."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

_PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@lru_cache(maxsize=65536)
def shard_of(run_id: str) -> str:
    """First three hex digits of the SHA-256 of `run_id`: the folder its page is in."""
    return hashlib.sha256(run_id.encode()).hexdigest()[:3]


def metrics_address(run_id: str) -> str:
    """The CSV file of a run's metrics and of all others whose folders share two digits, from the root of the site."""
    return f"r/{shard_of(run_id)[:2]}.csv"


def run_address(run_id: str) -> str:
    """A run's page, from the root of the site."""
    return f"r/{shard_of(run_id)}/index.html#run-{run_id}"


@lru_cache(maxsize=4096)
def slug(text: str) -> str:
    """`text` as a file name: itself where it is plain, else a hash of it (a bundle may hold any text)."""
    if _PLAIN.fullmatch(text):
        return text
    return "x-" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@lru_cache(maxsize=4096)
def system_address(system_id: str) -> str:
    """A system's page, from the root of the site."""
    return f"systems/{slug(system_id)}.html"


def board_slug(benchmark: str, tier: str, scenario: str | None = None, track: str | None = None) -> str:
    """A benchmark's tier as a file name that no other has: `lm-pretrain-nano`, `lm-generate-nano.in.server`.

    A tier with a dash in it is set off by a dot, which no part can hold; so a scenario by two, and what sets its runs
    apart (`rules.tracks.track_of`).
    """
    between = "." if "-" in slug(tier) else "-"
    place = f"{slug(benchmark)}{between}{slug(tier)}{f'.in.{slug(scenario)}' if scenario else ''}"
    return f"{place}.with.{slug(track.replace(', ', '-').replace(' ', '-'))}" if track else place


def page_name(stem: str, page: int, suffix: str = ".html") -> str:
    """File name of the `page`-th (from 1) page of a table that spans several."""
    return f"{stem}{suffix}" if page == 1 else f"{stem}.page-{page}{suffix}"


def key_of(*parts: str) -> str:
    """12 hex digits that name a combination of texts, for anchors."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:12]
