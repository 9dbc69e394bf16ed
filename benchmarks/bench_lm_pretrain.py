"""`lm-pretrain` nano through the harness's loop against a plain loop of the same model, framework by framework."""

from __future__ import annotations

from in_child import measured
from pairs import ratio_row
from table import Row, Skipped

STEPS = {"torch": 24, "jax": 24, "mlx": 2}  # MLX multiplies slowly on a processor
PAIRS = {"against_plain": 24, "against_plain_compiled": 48}  # compiled steps scatter more


def main() -> list[Row | Skipped]:
    """Tokens a second of ours over the plain loop's; both see the same shapes, steps and threads."""
    asked = [(f"{framework} fp32", "against_plain", framework) for framework in STEPS]
    asked.insert(1, ("torch bf16 compiled", "against_plain_compiled", "torch"))
    rows: list[Row | Skipped] = []
    for title, what, framework in asked:
        name = f"lm-pretrain nano, {title}: tokens/s of ours over a plain loop"
        found = measured(name, what, framework, STEPS[framework], PAIRS[what])
        rows.append(ratio_row(name, *found, at_least=0.98) if isinstance(found, list) else found)
    return rows
