"""Settings of `embed` at sizes that a test can pay for."""

from __future__ import annotations

from typing import Any

import pytest

from oildrop.rules.loading import load_rulebook
from oildrop.rules.rulebook import gate_settings, settings_of

SMALL = {
    "model.width": 16,
    "model.heads": 2,
    "model.hidden": 24,
    "model.vocabulary": 300,
    "execution.slots": 3,
    "gates.documents": 10,
    "gates.weights_std": 0.3,  # times the root of the width as much as at tier nano
    "assess.share": 1,
    "assess.least": 1,
    "assess.most": 100,
}


@pytest.fixture(scope="session")
def embed_settings() -> dict[str, Any]:
    """Tier smoke's settings and gates, smaller still."""
    benchmark = load_rulebook().benchmarks["embed"]
    tier = benchmark.tiers["smoke"]
    return {**settings_of(tier), **gate_settings(benchmark.gates, tier), **SMALL}
