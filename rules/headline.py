"""The metric that speaks for a run, by its kind and its scenario."""

from __future__ import annotations

TRAINED: dict[str, str] = {"to_target": "time_to_target_s", "fixed_work": "train_samples_per_s"}
"""By kind."""

SERVED: dict[str, str] = {
    "single-stream": "latency_s_p90",
    "multi-stream": "latency_s_p99",
    "server": "requests_per_s",
    "offline": "requests_per_s",
    "interactive": "requests_per_s",
    "concurrency": "requests_per_s",
}
"""By scenario, of kind serve; as `scenarios.toml` says of each."""


def headline_of(kind: str, scenario: str | None) -> str | None:
    """Name of the metric; None for a kind (`probe`, `calibrate`) or a scenario that has none."""
    if kind == "serve":
        return SERVED.get(scenario or "")
    return TRAINED.get(kind)
