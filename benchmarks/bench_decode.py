"""Decoding one request at a time on the processor: beside transformers' `generate`, and beside what memory allows.

Each figure is taken eager and compiled. Both are options that a run may declare, so a bound belongs to the better one.
"""

from __future__ import annotations

from dataclasses import replace

from decode import FORMATS, MODES, TIERS
from in_child import measured
from pairs import ratio_row
from table import Row, Skipped

TOKENS, PAIRS = 32, 8
PAIRS_WITH_READS = (4, 24)
"""Of decoding by MODES, of which the eager is slow, and of reads, which differ by 5 % from one to the next."""
DTYPES = FORMATS[:2]
WIDEST, HALF_AND_LESS = FORMATS[0], FORMATS[1:3]
SMALL = TIERS.index("small")
TIMES = 2.0
"""Of transformers' tokens a second."""
SHARE = 0.6
"""Of the measured read bandwidth, in one of HALF_AND_LESS."""
ALL_OF_IT = 0.9
"""Of it in WIDEST, instead of TIMES: where transformers read more than half of what can be read, nobody is twice as
fast."""


def main() -> list[Row | Skipped]:
    """Tokens a second over transformers', then bytes a second over what the machine reads."""
    theirs = _of_what_is_read(WIDEST, "transformers' generate", "transformers_bandwidth", FORMATS.index(WIDEST))
    times = {(tier, form): _against_transformers(tier, form) for tier in TIERS for form in DTYPES}
    shares = {form: _shares(form) for form in FORMATS}
    no_room = isinstance(theirs, Row) and theirs.value * TIMES > 1
    if no_room:
        shares[WIDEST] = with_bound(shares[WIDEST], ALL_OF_IT)
    rows: list[Row | Skipped] = []
    for cell, found in times.items():
        rows += found if no_room and cell == ("small", WIDEST) else with_bound(found, TIMES)
    rows += [theirs, *shares[WIDEST]]
    rows += with_bound([row for form in HALF_AND_LESS for row in shares[form]], SHARE)
    return [*rows, *shares[FORMATS[3]]]


def with_bound(rows: list[Row | Skipped], at_least: float) -> list[Row | Skipped]:
    """The same, the greatest of them bound to be `at_least`."""
    best = max((row for row in rows if isinstance(row, Row)), key=lambda row: row.value, default=None)
    return [replace(row, at_least=at_least) if isinstance(row, Row) and row is best else row for row in rows]


def _against_transformers(tier: str, form: str) -> list[Row | Skipped]:
    rows: list[Row | Skipped] = []
    for mode in range(len(MODES)):
        name = f"lm-generate {tier}, {form}, {MODES[mode]}, one request: tokens/s over transformers' generate"
        numbers = (TIERS.index(tier), FORMATS.index(form), mode, TOKENS, PAIRS)
        found = measured(name, "decode_against_transformers", "torch", *numbers)
        rows.append(ratio_row(name, *found) if isinstance(found, list) else found)
    return rows


def _shares(form: str) -> list[Row | Skipped]:
    return [
        _of_what_is_read(form, name, "decode_bandwidth", FORMATS.index(form), mode, pairs=pairs)
        for mode, (name, pairs) in enumerate(zip(MODES, PAIRS_WITH_READS, strict=True))
    ]


def _of_what_is_read(form: str, who: str, measure: str, *numbers: int, pairs: int = PAIRS) -> Row | Skipped:
    name = f"lm-generate small, {form}, {who}, one request: bytes/s over measured read bandwidth"
    found = measured(name, measure, "torch", SMALL, *numbers, TOKENS, pairs)
    return ratio_row(name, *found) if isinstance(found, list) else found
