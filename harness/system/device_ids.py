"""Device ids that tell devices of one store apart and say nothing outside it."""

from __future__ import annotations

import hashlib


def salted_id(salt: str, uuid: str) -> str:
    """16 hex digits: SHA-256 over the store's secret and the vendor's id."""
    return hashlib.sha256(f"{salt}{uuid}".encode()).hexdigest()[:16]
