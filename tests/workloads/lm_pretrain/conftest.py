"""A small language, a small model and a CPU device for the tests of lm-pretrain."""

import tomllib
from importlib import resources
from typing import Any

import pytest

from oildrop.workloads.lm_pretrain.grammar import Grammar
from oildrop.workloads.lm_pretrain.reference import ModelShape


def flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys of nested tables."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


def settings_of_tier(tier: str) -> dict[str, Any]:
    """The settings of a tier and the gates, as a task gets them."""
    table = tomllib.loads(resources.files("oildrop.rules.v1").joinpath("lm-pretrain.toml").read_text())
    return flat(table["settings"]) | flat(table["tiers"][tier].get("settings", {})) | flat({"gates": table["gates"]})


@pytest.fixture(scope="session")
def nano_settings() -> dict[str, Any]:
    """Tier nano with one thread, so that sums are in one order."""
    return settings_of_tier("nano") | {"execution.threads": 1}


@pytest.fixture(scope="session")
def tiny_settings(nano_settings: dict[str, Any]) -> dict[str, Any]:
    """A model of two narrow layers on the nano language."""
    small = {"model.layers": 2, "model.width": 32, "model.heads": 2, "model.hidden": 48, "evaluation.documents": 6}
    return nano_settings | small | {"data.documents_per_batch": 4, "optimizer.learning_rate": 4e-3}


@pytest.fixture(scope="session")
def grammar() -> Grammar:
    """A language in which everything happens often, also three names bound at once and the depth limit."""
    return Grammar(
        language_seed=3,
        document_tokens=48,
        words=20,
        zipf_offset=0,
        names=4,
        brackets=3,
        depth=2,
        successors=4,
        successor_share=3000,
        let_share=30,
        get_share=40,
        open_share=30,
        close_share=30,
    )


@pytest.fixture(scope="session")
def shape() -> ModelShape:
    """Two layers, small enough to differentiate by hand."""
    return ModelShape(
        vocabulary=43,
        positions=48,
        layers=2,
        width=32,
        heads=2,
        key_value_heads=1,
        hidden=48,
        norm_epsilon=1e-5,
        rotary_base=10000.0,
    )
