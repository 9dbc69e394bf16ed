"""When requests arrive: a Poisson process worked out in integers, so that every machine and every judge gets the same.

The k-th gap is -ln(u_k) mean gaps, where u_k is uniform in (0, 1]. The words behind u_k come from SHA-256 of
the seed and a counter, the logarithm from a table and a short series, all in fixed point: no libm, no float.
One seed gives the same u_k at every rate, so that a schedule at twice the rate is the same one, twice as fast.

Source: NIST FIPS 180-4 (SHA-256); Abramowitz and Stegun, Handbook of Mathematical Functions, 4.1.27 (the series).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from itertools import islice

from oildrop.rules.errors import UsageError

FRACTION_BITS = 60
"""Logarithms are integers of 2**-60; the error stays under 1e-13."""

TABLE_BITS = 8
WORD_BITS = 64
FS_PER_S = 10**15
FS_PER_NS = 10**6


def arrivals_ns(seed: int, rate_per_s: float, count: int) -> list[int]:
    """Times of the first `count` arrivals, nanoseconds since the start; the first one after a gap of its own.

    Args:
        rate_per_s: Mean arrivals a second. The mean gap is 1/rate rounded to whole femtoseconds, half to even.

    Raises:
        UsageError: The rate is not above 0, or above 10**9.
    """
    return list(islice(_times_ns(seed, rate_per_s), count))


def schedule_ns(seed: int, rate_per_s: float, *, minimum_ns: int, minimum_count: int) -> list[int]:
    """The arrivals up to the first one that is both at or after `minimum_ns` and at least the `minimum_count`-th.

    Raises:
        UsageError: As `arrivals_ns`.
    """
    times: list[int] = []
    for t_ns in _times_ns(seed, rate_per_s):
        times.append(t_ns)
        if t_ns >= minimum_ns and len(times) >= minimum_count:
            break
    return times


def mean_gap_fs(rate_per_s: float) -> int:
    """1/rate in whole femtoseconds, the exact quotient rounded half to even. Raises UsageError."""
    if not (math.isfinite(rate_per_s) and 0 < rate_per_s <= 1e9):
        raise UsageError(f"a rate of {rate_per_s:g} queries a second: it must be above 0 and at most 1e9; give another")
    return round(Fraction(FS_PER_S) / Fraction(rate_per_s))


def minus_log(word: int) -> int:
    """-ln((word + 1) / 2**64) in units of 2**-60, for a 64-bit word."""
    value = word + 1
    exponent = value.bit_length() - 1
    mantissa = value << (WORD_BITS - exponent)  # in [2**64, 2**65): 1.0 to 2.0
    near = mantissa >> (WORD_BITS - TABLE_BITS)  # its first bits: 256 to 511
    base = near << (WORD_BITS - TABLE_BITS)
    logarithm = _table()[near - (1 << TABLE_BITS)] + _log_ratio(mantissa, base)
    return (WORD_BITS - exponent) * _log_of_two() - logarithm


def _times_ns(seed: int, rate_per_s: float) -> Iterator[int]:
    gap_fs = mean_gap_fs(rate_per_s)
    total = 0
    for word in _words(seed):
        total += minus_log(word)
        yield ((total * gap_fs) >> FRACTION_BITS) // FS_PER_NS


def _words(seed: int) -> Iterator[int]:
    """64-bit words: four from the SHA-256 of each `arrivals/1/<seed>/<block>`, little-endian."""
    block = 0
    while True:
        digest = hashlib.sha256(f"arrivals/1/{seed}/{block}".encode()).digest()
        for start in range(0, 32, 8):
            yield int.from_bytes(digest[start : start + 8], "little")
        block += 1


def _log_ratio(above: int, below: int) -> int:
    """ln(above / below) in units of 2**-60: 2 atanh(z) with z = (above - below) / (above + below), z small."""
    z = ((above - below) << FRACTION_BITS) // (above + below)
    square = (z * z) >> FRACTION_BITS
    term, total, odd = z, z, 1
    while True:
        term = (term * square) >> FRACTION_BITS
        odd += 2
        if term < odd:
            return 2 * total
        total += term // odd


@cache
def _table() -> tuple[int, ...]:
    """ln(k / 256) for k = 256 ... 511, each the sum of the small steps before it, in units of 2**-60."""
    size = 1 << TABLE_BITS
    table = [0]
    for near in range(size, 2 * size - 1):
        table.append(table[-1] + _log_ratio(near + 1, near))
    return tuple(table)


@cache
def _log_of_two() -> int:
    """ln 2 in units of 2**-60."""
    size = 1 << TABLE_BITS
    return _table()[-1] + _log_ratio(2 * size, 2 * size - 1)
