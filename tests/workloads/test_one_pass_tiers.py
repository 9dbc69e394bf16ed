"""Tiers small and base of images and sentences: their sizes by other means, their terms, their gates in little."""

from __future__ import annotations

import math
from typing import Any

import pytest
from one_pass_tasks import answered, built

from oildrop.rules.formulas.early_stopping import least_queries_for_estimate
from oildrop.rules.formulas.flops_table import SERVED_FLOPS
from oildrop.rules.loading import load_rulebook
from oildrop.rules.rulebook import Tier, gate_settings, settings_of
from oildrop.workloads.embed import reference
from oildrop.workloads.image_classify.reference import config_of

TIERS = [(name, tier) for name in ("image-infer", "embed") for tier in ("small", "base")]


def tier_of(benchmark: str, tier: str) -> Tier:
    return load_rulebook().benchmarks[benchmark].tiers[tier]


def settings_for(benchmark: str, tier: str, **changes: Any) -> dict[str, Any]:
    """Its settings and gates, in a model that a test can pay for."""
    gates = load_rulebook().benchmarks[benchmark].gates
    named = {key.replace("__", "."): value for key, value in changes.items()}
    return {**settings_of(tier_of(benchmark, tier)), **gate_settings(gates, tier_of(benchmark, tier)), **named}


@pytest.mark.parametrize(("benchmark", "tier"), TIERS)
def test_terms_are_long_enough_to_be_sure_of_their_percentiles(benchmark: str, tier: str) -> None:
    found = tier_of(benchmark, tier)
    assert len(found.scenarios) == 6
    for name, terms in found.scenarios.items():
        assert terms.minimum_s == 600.0
        assert terms.minimum_queries == least_queries_for_estimate(terms.percentile)
        arrives = name in ("server", "interactive")
        assert (terms.bounds.latency_s is not None, terms.first_rate_per_s is not None) == (arrives, arrives)
    assert found.provisional is not None and found.target is None and found.settings["weights.source"] == "random"


@pytest.mark.parametrize(("tier", "parameters"), [("small", 108_891_648), ("base", 334_092_288)])
def test_encoders_have_berts_parameters(tier: str, parameters: int) -> None:
    """Counted by Hugging Face's model of the same shape, without its pooler."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    shape = reference.shape_of(tier_of("embed", tier).settings)
    config = transformers.BertConfig(
        vocab_size=shape.vocabulary, hidden_size=shape.width, num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads, intermediate_size=shape.hidden, max_position_embeddings=shape.positions,
    )  # fmt: skip
    with torch.device("meta"):
        model = transformers.BertModel(config, add_pooling_layer=False)
    assert sum(math.prod(size) for size in shape.tensors().values()) == model.num_parameters() == parameters


@pytest.mark.parametrize(("tier", "parameters"), [("small", 520_394), ("base", 8_274_698)])
def test_networks_of_images_are_those_of_image_classify(tier: str, parameters: int) -> None:
    settings = tier_of("image-infer", tier).settings
    assert sum(math.prod(size) for size in config_of(settings).tensor_shapes().values()) == parameters
    trained = load_rulebook().benchmarks["image-classify"].tiers["small"].settings
    alike = [key for key in trained if key.startswith(("data.", "evaluation.")) and key in settings]
    assert {key: settings[key] for key in alike} == {key: trained[key] for key in alike} and len(alike) == 9
    assert tier == "base" or settings["model.width"] == trained["model.width"]


def test_flops_of_an_image_and_a_sentence_by_hand() -> None:
    """Pictures at width 64: 28² and 14² and 14² and 7² outputs of 9 x channels in x out, then 256 x 10, twice.

    128 tokens at BERT-large: of each of 24 layers 4 matrices of 1024², two of 1024 x 4096, and 2 x 1024 a pair.
    """
    layers = 28**2 * 9 * 64 + 14**2 * 9 * 64 * 128 + 14**2 * 9 * 128 * 128 + 7**2 * 9 * 128 * 256
    assert SERVED_FLOPS["conv_serve/1"](tier_of("image-infer", "small").settings, 1, 1) == 2 * (layers + 2560)
    of_layer = 128 * (4 * 1024**2 + 2 * 1024 * 4096) + 2 * 1024 * 128**2
    assert SERVED_FLOPS["encoder_serve/1"](tier_of("embed", "base").settings, 128, 1) == 2 * 24 * of_layer


@pytest.mark.parametrize(
    ("framework", "tier"), [("torch", "small"), ("torch", "base"), ("jax", "small"), ("mlx", "base")]
)
def test_gates_ask_two_layers_and_the_run_all_of_them(framework: str, tier: str) -> None:
    """At a sixteenth of the width or less; answers are those of the whole model."""
    settings = settings_for(
        "embed", tier, model__width=32, model__heads=4, model__hidden=64, model__layers=3, model__vocabulary=2100,
        requests__tokens_max=32, execution__slots=2, execution__dtype="fp32", assess__most=8, assess__least=8,
        gates__documents=4, gates__weights_std=0.3,
    ) | {"gates.settings.model.vocabulary": 2010, "gates.settings.requests.tokens_max": 16}  # fmt: skip
    task = built("embed", framework, settings)
    assert [(gate.name, gate.passed) for gate in task.run_gates()] == [("embedding", True)]
    task.initialise(2)
    assert len([name for name, _ in task.weights() if name.endswith("query.weight")]) == 3
    assert task.assess(answered(task, range(8))).agreed_count.tolist() == [1] * 8
