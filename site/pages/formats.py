"""Numbers, times and names as people read them; exact values stay in the CSV files."""

from __future__ import annotations

import math
from datetime import datetime
from functools import lru_cache

from markupsafe import Markup, escape

GROUP = "\N{NARROW NO-BREAK SPACE}"
"""Between groups of three digits; never wraps."""

SIZED_UNITS = frozenset({"1", "J", "bytes", "FLOP/s", "bytes/s"})
"""Units in which people do not read a number as it is."""

_BINARY = ("bytes", "KiB", "MiB", "GiB", "TiB")
_DECIMAL = ("", "k", "M", "G", "T", "P", "E")


def number(value: float | int, digits: int = 3) -> str:
    """`value` to `digits` significant digits with grouped thousands, as `12 300` or `0.00457`.

    Whole numbers under 1000 stand as they are. Beyond 10^9 and under 10^-4 as `1.23 × 10⁻⁵`.
    """
    size = abs(value)
    if not 1e-4 <= size < 1e9:
        return _scientific(value, digits) if size else "0"
    if size < 1000 and type(value) is int:
        return str(value)
    # Nearly all have three digits, and a format specification with a field in it takes twice as long.
    text = f"{value:#.3g}" if digits == 3 else f"{value:#.{digits}g}"
    if "e" in text:
        return _grouped(text)
    return text[:-1] if text[-1] == "." else text


@lru_cache(maxsize=8192)
def _grouped(text: str) -> str:
    """A number rounded to few digits, and too large for decimals, with grouped thousands."""
    return f"{float(text):,.0f}".replace(",", GROUP)


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
    """`value` and `unit` as people read them: bytes in MiB, shares in %, energy in kJ, rates in GFLOP/s and GB/s."""
    if unit not in SIZED_UNITS:
        return number(value), unit
    if unit == "1":
        return number(value * 100), "%"
    if unit == "bytes":
        step = _step(value, 1024, len(_BINARY))
        return number(value / 1024**step), _BINARY[step]
    step = _step(value, 1000, len(_DECIMAL))
    return number(value / 1000**step), f"{_DECIMAL[step]}{'B/s' if unit == 'bytes/s' and step else unit}"


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


def ascii_markup(markup: str) -> str:
    """`markup` with references to all characters outside ASCII, and `?` for a lone surrogate.

    Python joins and encodes texts of ASCII alone several times as fast as others.
    """
    if markup.isascii():
        return markup
    return markup.encode("utf-8", "replace").decode("utf-8").encode("ascii", "xmlcharrefreplace").decode("ascii")


@lru_cache(maxsize=65536)
def escaped(text: str) -> str:
    """`text` escaped for HTML, in ASCII; most texts come again in many runs, so they are kept."""
    return ascii_markup(escape(text))


def scalar_text(value: object) -> str:
    """A setting as the command line takes it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)


def count_text(count: int, one: str, many: str | None = None) -> str:
    """`1 run`, `12 000 runs`."""
    return f"{count:,}".replace(",", GROUP) + " " + (one if count == 1 else many or one + "s")
