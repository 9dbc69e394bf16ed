"""What is run together under one name."""

from __future__ import annotations

SUITES: dict[str, tuple[str, ...]] = {
    "default": ("lm-pretrain", "image-classify"),
}
