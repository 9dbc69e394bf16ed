"""Canonical JSON (RFC 8785) and hashes over it: one value, one byte string, one hash."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import rfc8785


def canonical_json(value: Any) -> bytes:
    """`value` as RFC 8785 bytes. Raises `rfc8785.CanonicalizationError` for NaN or integers beyond 2^53."""
    return rfc8785.dumps(value)


def sha256_of(value: Any) -> str:
    """Hex SHA-256 over the canonical JSON of `value`."""
    return sha256_bytes(canonical_json(value))


def sha256_bytes(data: bytes) -> str:
    """Hex SHA-256 of raw bytes."""
    return hashlib.sha256(data).hexdigest()


def json_number(value: float) -> float | str:
    """`value`, or its name (`nan`, `inf`, `-inf`) as JSON has none for it."""
    if math.isfinite(value):
        return value
    return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
