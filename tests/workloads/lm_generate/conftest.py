"""A tiny model and its requests, for tests without an accelerator."""

from __future__ import annotations

import pytest

from oildrop.rules.loading import load_rulebook
from oildrop.rules.records import Scalar
from oildrop.rules.rulebook import gate_settings, settings_of

TINY = {
    "data.document_tokens": 24,
    "data.words": 40,
    "data.successors": 8,
    "model.layers": 2,
    "model.width": 32,
    "model.heads": 4,
    "model.key_value_heads": 2,
    "model.hidden": 40,
    "requests.prompt_tokens_min": 3,
    "requests.prompt_tokens_max": 12,
    "requests.output_tokens_min": 2,
    "requests.output_tokens_max": 10,
    "weights.source": "random",
    "execution.slots": 4,
    "execution.prefill_requests": 2,
    "assess.least": 6,
    "assess.most": 12,
}


@pytest.fixture(scope="session")
def tiny_settings() -> dict[str, Scalar]:
    """Tier nano's settings and gates at sizes that a test can pay for; two query heads share a key-value head."""
    benchmark = load_rulebook().benchmarks["lm-generate"]
    tier = benchmark.tiers["nano"]
    assert benchmark.gates is not None
    return {**settings_of(tier), **gate_settings(benchmark.gates, tier), **TINY}


@pytest.fixture(scope="session")
def served_nano() -> dict[str, Scalar]:
    """Tier nano's settings and gates as they are."""
    benchmark = load_rulebook().benchmarks["lm-generate"]
    tier = benchmark.tiers["nano"]
    assert benchmark.gates is not None
    return {**settings_of(tier), **gate_settings(benchmark.gates, tier)}
