"""Numbers, times and names as people read them; exact values stay in the CSV files."""

from __future__ import annotations

import math
from datetime import datetime
from functools import lru_cache

from markupsafe import Markup, escape

GROUP = "\N{NARROW NO-BREAK SPACE}"
"""Between groups of three digits; never wraps."""

_BINARY = ("bytes", "KiB", "MiB", "GiB", "TiB")
_DECIMAL = ("", "k", "M", "G", "T", "P", "E")


def number(value: float | int, digits: int = 3) -> str:
    """`value` to `digits` significant digits with grouped thousands, as `12 300` or `0.00457`.

    Whole numbers under 1000 stand as they are. Beyond 10^9 and under 10^-4 as `1.23 × 10⁻⁵`.
    """
    size = abs(value)
    if size == 0:
        return "0"
    if size < 1000 and isinstance(value, int):
        return str(value)
    if not 1e-4 <= size < 1e9:
        return _scientific(value, digits)
    text = f"{value:#.{digits}g}"
    if "e" in text:  # rounded to `digits`, and too large for decimals
        return f"{float(text):,.0f}".replace(",", GROUP)
    return text[:-1] if text[-1] == "." else text


def tick_text(value: float) -> str:
    """A round number as an axis shows it: no more decimals than it needs."""
    size = abs(value)
    if size and not 1e-4 <= size < 1e7:
        mantissa, _, rest = _scientific(value, 3).partition(" ")
        return f"{float(mantissa):g} {rest}"
    return f"{value:,.6g}".replace(",", GROUP)


def _scientific(value: float, digits: int) -> str:
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{mantissa} × 10{raised}"


def scaled(value: float | int, unit: str) -> tuple[str, str]:
    """`value` and `unit` in the size that people read: bytes in MiB, shares in %, FLOP/s in GFLOP/s."""
    if unit == "1":
        return number(value * 100), "%"
    if unit == "bytes":
        step = _step(value, 1024, len(_BINARY))
        return number(value / 1024**step), _BINARY[step]
    if unit == "FLOP/s":
        step = _step(value, 1000, len(_DECIMAL))
        return number(value / 1000**step), f"{_DECIMAL[step]}FLOP/s"
    return number(value), unit


def _step(value: float, base: int, count: int) -> int:
    return min(int(math.log(abs(value), base) + 1e-9), count - 1) if abs(value) >= base else 0


def bytes_text(value: int | None) -> str | None:
    """A size in words such as `15.3 GiB`; None stays None."""
    if value is None:
        return None
    return f"{number(value / 1024 ** _step(value, 1024, len(_BINARY)))} {_BINARY[_step(value, 1024, len(_BINARY))]}"


@lru_cache(maxsize=65536)
def time_element(utc: str) -> Markup:
    """An ISO 8601 instant as `<time>` to the second, in UTC; other text as it stands."""
    try:
        instant = datetime.fromisoformat(utc)
    except ValueError:
        return escape(utc)
    if instant.utcoffset():
        return escape(utc)
    machine = instant.strftime("%Y-%m-%dT%H:%M:%SZ")
    return Markup(f'<time datetime="{machine}">{machine[:10]} {machine[11:19]}</time>')


@lru_cache(maxsize=65536)
def escaped(text: str) -> str:
    """`text` escaped for HTML; most texts come again in many runs, so they are kept."""
    return str(escape(text))


def scalar_text(value: object) -> str:
    """A setting as the command line takes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)


def count_text(count: int, one: str, many: str | None = None) -> str:
    """`1 run`, `12 000 runs`."""
    return f"{count:,}".replace(",", GROUP) + " " + (one if count == 1 else many or one + "s")
