"""What the harness adds to a step of each framework's engine, at a model so small that little else is left."""

from __future__ import annotations

from in_child import measured
from pairs import difference_row
from table import Row, Skipped

STEPS = {"torch": 300, "jax": 1000, "mlx": 300}
PAIRS = 24


def main() -> list[Row | Skipped]:
    """Microseconds a step in the harness's loop over the same engine calls in a bare loop, interleaved pairs."""
    rows: list[Row | Skipped] = []
    for framework, steps in STEPS.items():
        name = f"harness cost a step of {framework}'s engine"
        found = measured(name, "harness_cost", framework, steps, PAIRS)
        if isinstance(found, list):
            costs_us = [(ours - bare) * 1e6 for ours, bare in zip(*found, strict=True)]
            rows.append(difference_row(name, costs_us, "us", at_most=20.0))
        else:
            rows.append(found)
    return rows
