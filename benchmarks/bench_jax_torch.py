"""JAX against PyTorch on the processor: `lm-pretrain` nano in fp32, in child processes that take turns."""

from __future__ import annotations

from in_child import measured
from pairs import ratio_row
from table import Row, Skipped

STEPS = 64
PAIRS = 8


def main(pairs: int = PAIRS) -> list[Row | Skipped]:
    """Tokens a second of the one over the other's, a fresh process each."""
    name = "lm-pretrain nano, fp32: tokens/s of JAX over PyTorch's"
    rates: dict[str, list[float]] = {"jax": [], "torch": []}
    for index in range(pairs):
        for framework in ("jax", "torch") if index % 2 == 0 else ("torch", "jax"):
            found = measured(name, "rate", framework, STEPS)
            if not isinstance(found, list):
                return [found]
            rates[framework] += found[0]
    return [ratio_row(name, rates["jax"], rates["torch"], at_least=0.5)]
