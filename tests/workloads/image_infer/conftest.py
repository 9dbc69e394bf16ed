"""Settings of `image-infer` at sizes that a test can pay for."""

from __future__ import annotations

from typing import Any

import pytest

from oildrop.rules.loading import load_rulebook
from oildrop.rules.rulebook import gate_settings, settings_of

SMALL = {
    "model.width": 8,
    "weights.source": "random",
    "execution.slots": 6,
    "execution.threads": 0,
    "gates.documents": 20,
    "assess.share": 1,
    "assess.least": 1,
    "assess.most": 100,
}


@pytest.fixture(scope="session")
def infer_settings() -> dict[str, Any]:
    """Tier nano's settings and gates, a narrow network of random weights."""
    benchmark = load_rulebook().benchmarks["image-infer"]
    tier = benchmark.tiers["nano"]
    return {**settings_of(tier), **gate_settings(benchmark.gates, tier), **SMALL}
