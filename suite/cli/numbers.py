"""Numbers as people read them; the units of records are SI, converted only here."""

from __future__ import annotations

import math

BINARY = ("bytes", "KiB", "MiB", "GiB", "TiB")
DECIMAL = (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6))

RATES = {"FLOP/s": "FLOP/s", "bytes/s": "B/s"}
"""Units that take a prefix, and what stands behind it."""


def show_value(value: float | int | None, unit: str) -> str:
    """`value` with its unit: four significant digits, bytes in KiB and up, rates in G and up, shares in percent."""
    if value is None:
        return "–"
    if unit == "bytes":
        return show_bytes(value)
    if unit == "1":
        return f"{show_number(100 * value)} %"
    if unit in RATES:
        for prefix, size in DECIMAL:
            if abs(value) >= size:
                return f"{show_number(value / size)} {prefix}{RATES[unit]}"
    return f"{show_number(value)} {unit}"


def show_number(value: float | int) -> str:
    """Four significant digits, thousands apart, without an exponent between 1e-4 and 1e9."""
    if not math.isfinite(value):
        return str(value)
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}" if abs(value) < 1e9 else f"{value:.4g}"
    return f"{value:.4g}"


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 run`, `12 runs`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def show_bytes(value: float | int) -> str:
    """An amount of memory in the largest unit that leaves a number of one or more."""
    amount, index = float(value), 0
    while abs(amount) >= 1024 and index + 1 < len(BINARY):
        amount, index = amount / 1024, index + 1
    return f"{show_number(amount) if index else f'{amount:.0f}'} {BINARY[index]}"


def show_duration(seconds: float) -> str:
    """A length of time for a person who waits: `8 s`, `1 min 20 s`, `2 h 5 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
