"""A server's own figures in the Prometheus text format; pure. They are kept beside a run, never judged.

Source: Prometheus documentation, "Exposition formats", text-based format 0.0.4, read 2026-11-25; names of families as
vLLM, SGLang, Text Generation Inference and llama.cpp's server prefix them.
"""

from __future__ import annotations

import math
import re

PREFIXES = ("vllm:", "sglang:", "tgi_", "llamacpp:")
MOST_SAMPLES = 400

_SAMPLE = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]*)(\{[^}]*\})?\s+(\S+)(?:\s+-?\d+)?\s*")
_LEFT_OUT = re.compile(r"(?:_bucket|_created|_info)$")


def known_samples(text: str) -> dict[str, float]:
    """Values of the known families by name with labels, without buckets of histograms; at most `MOST_SAMPLES`."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        sample = _SAMPLE.fullmatch(line)
        if sample is None or not sample[1].startswith(PREFIXES) or _LEFT_OUT.search(sample[1]):
            continue
        value = _number(sample[3])
        if value is not None and len(found) < MOST_SAMPLES:
            found[sample[1] + (sample[2] or "")] = value
    return found


def changes(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """By how much each sample that is in both has changed."""
    return {name: after[name] - before[name] for name in after if name in before}


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
