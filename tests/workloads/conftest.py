"""Settings of both benchmarks as a task gets them: a tier's own, and small ones for speed."""

from __future__ import annotations

from typing import Any

import pytest

from oildrop.rules.errors import Unsupported
from oildrop.rules.loading import load_rulebook
from oildrop.rules.rulebook import gate_settings, settings_of

pytest.register_assert_rewrite("engine_contract", "generator_contract")


@pytest.fixture
def inductor() -> None:
    """Skips, with what to install, where Inductor cannot build its kernels."""
    from oildrop.workloads.compiler_torch import require_compiler

    try:
        require_compiler()
    except Unsupported as error:
        pytest.skip(str(error))


def tier_settings(benchmark: str, tier: str) -> dict[str, Any]:
    """As the worker hands them over: the tier's settings and, under `gates.`, the benchmark's gates."""
    found = load_rulebook().benchmarks[benchmark]
    return settings_of(found.tiers[tier]) | gate_settings(found.gates, found.tiers[tier])


@pytest.fixture(scope="session")
def nano_settings() -> dict[str, Any]:
    """`lm-pretrain` nano with one thread, so that sums are in one order."""
    return tier_settings("lm-pretrain", "nano") | {"execution.threads": 1}


@pytest.fixture(scope="session")
def tiny_settings(nano_settings: dict[str, Any]) -> dict[str, Any]:
    """A model of two narrow layers on the nano language."""
    small = {"model.layers": 2, "model.width": 32, "model.heads": 2, "model.key_value_heads": 1, "model.hidden": 48}
    data = {"data.documents_per_batch": 4, "evaluation.documents": 6, "evaluation.documents_per_batch": 6}
    return nano_settings | small | data | {"optimizer.learning_rate": 4e-3}


@pytest.fixture(scope="session")
def full_settings() -> dict[str, Any]:
    """`image-classify` nano."""
    return tier_settings("image-classify", "nano")


@pytest.fixture(scope="session")
def small_settings(full_settings: dict[str, Any]) -> dict[str, Any]:
    """A narrow network and small batches."""
    smaller = {"model.width": 8, "data.images_per_batch": 32, "gates.documents": 40, "execution.threads": 1}
    return full_settings | smaller
