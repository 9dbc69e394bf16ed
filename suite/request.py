"""What a person asked to be run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from oildrop.suite.servers import ServerRequest


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What a person asked for; None where they left it to the rulebook.

    Attributes:
        seeds: Seed numbers of the rulebook's sequence, chosen by hand; such runs are never ranked.
        changes: Settings to change, as text by dotted key.
        rate_per_s: Queries a second in a scenario with arrivals; None searches for the highest that holds its bounds.
        keep_weights: Folder that gets each run's trained weights, as `<run_id>.safetensors`; None keeps none.
        concurrency: Requests in flight of scenario `concurrency`, a set each.
        server: The server to ask, of a benchmark that asks one.
        variants: Further changes, a set each: the cells of a sweep.
    """

    benchmarks: tuple[str, ...] = ()
    suite: str | None = None
    tier: str | None = None
    backend: str = "auto"
    runs: int | None = None
    seeds: tuple[int, ...] | None = None
    changes: Mapping[str, str] = field(default_factory=dict)
    division: str = "closed"
    timeout_s: float | None = None
    memory_limit_bytes: int | None = None
    note: str | None = None
    max_restarts: int = 0
    keep_weights: Path | None = None
    scenario: str | None = None
    rate_per_s: float | None = None
    concurrency: tuple[int, ...] = ()
    server: ServerRequest | None = None
    variants: tuple[Mapping[str, str], ...] = ({},)
