"""Decoding one request at a time on the processor: beside transformers' `generate`, and beside what memory allows."""

from __future__ import annotations

from decode import FORMATS, TIERS
from in_child import measured
from pairs import ratio_row
from table import Row, Skipped

TOKENS, PAIRS = 32, 8
AGAINST = [(tier, form) for tier in TIERS for form in FORMATS[:2]]
WHOLE = "bf16 as-trained"
"""The format that must use the memory; the others are shown beside it."""


def main() -> list[Row | Skipped]:
    """Tokens a second over transformers', then bytes a second over what the machine reads."""
    rows: list[Row | Skipped] = []
    for tier, form in AGAINST:
        name = f"lm-generate {tier}, {form}, one request: tokens/s over transformers' generate"
        numbers = (TIERS.index(tier), FORMATS.index(form), TOKENS, PAIRS)
        found = measured(name, "decode_against_transformers", "torch", *numbers)
        rows.append(ratio_row(name, *found, at_least=2.0) if isinstance(found, list) else found)
    for form in FORMATS:
        name = f"lm-generate small, {form}, one request: bytes/s over measured read bandwidth"
        found = measured(name, "decode_bandwidth", "torch", TIERS.index("small"), FORMATS.index(form), TOKENS, PAIRS)
        bound = 0.6 if form == WHOLE else None
        rows.append(ratio_row(name, *found, at_least=bound) if isinstance(found, list) else found)
    return rows
