"""The large tiers: their languages are generated and parsed alike, and each number is the one its source states."""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import replace

import numpy as np
import pytest

from oildrop.rules.errors import UsageError
from oildrop.rules.formulas.flops_table import FLOPS_PER_TOKEN, decoder_size
from oildrop.rules.loading import load_rulebook
from oildrop.rules.rulebook import Tier
from oildrop.workloads.lm_pretrain.entropy import entropy_nats
from oildrop.workloads.lm_pretrain.grammar import Grammar, grammar_of
from oildrop.workloads.lm_pretrain.parser import information_nats
from oildrop.workloads.lm_pretrain.reference import shape_of
from oildrop.workloads.lm_pretrain.source import Source

RULEBOOK = load_rulebook()
TIERS = RULEBOOK.benchmarks["lm-pretrain"].tiers
LARGE = {name: tier for name, tier in TIERS.items() if tier.provisional}
LEAST_STEPS = 750


def reference_flop_per_s(tier: str) -> float:
    """40 % of the dense bf16 peak of the machine that the source names."""
    part, count = {"small": ("RTX 4090", 1), "base": ("H100 SXM5", 1), "pod": ("H100 SXM5", 8)}[tier]
    (peaks,) = (each.peak_flop_per_s for each in RULEBOOK.devices if part in each.name)
    return 0.4 * count * peaks["bf16"]


def expected_samples(tier: Tier) -> float:
    """Tier nano's tokens for each of its word pairs, for this tier's; and `LEAST_STEPS` at least."""
    nano, reference = TIERS["nano"].settings, RULEBOOK.reference_of("lm-pretrain", "nano")
    assert reference is not None
    nano_tokens = statistics.median(reference.samples_to_target) * int(nano["data.document_tokens"])
    tokens_a_pair = nano_tokens / (int(nano["data.words"]) * int(nano["data.successors"]))
    assert 24 < tokens_a_pair < 27
    settings = tier.settings
    tokens = 25 * int(settings["data.words"]) * int(settings["data.successors"])
    steps = LEAST_STEPS * int(settings["data.documents_per_batch"])
    return max(tokens / int(settings["data.document_tokens"]), steps)


def test_small_base_and_pod_are_provisional_and_no_other() -> None:
    assert list(LARGE) == ["small", "base", "pod"]
    text = " ".join(source.source for source in RULEBOOK.benchmarks["lm-pretrain"].sources)
    assert text.count("PROVISIONAL") == 4


@pytest.mark.parametrize(
    ("tier", "parameters"), [("small", 123_489_024), ("base", 989_399_040), ("pod", 8_030_261_248)]
)
def test_parameters_are_those_of_the_references_tensors(tier: str, parameters: int) -> None:
    tensors = shape_of(TIERS[tier].settings).tensors()
    assert sum(math.prod(size) for size in tensors.values()) == parameters
    assert decoder_size(TIERS[tier].settings).parameters == parameters


@pytest.mark.parametrize("tier", LARGE)
def test_the_vocabulary_is_a_multiple_of_128(tier: str) -> None:
    assert grammar_of(TIERS[tier].settings).vocabulary % 128 == 0
    assert decoder_size(TIERS[tier].settings).vocabulary % 128 == 0
    assert decoder_size(TIERS[tier].settings).vocabulary == shape_of(TIERS[tier].settings).vocabulary


def test_pod_has_the_shape_of_llama_3_1_8b() -> None:
    """Llama Team, arXiv 2407.21783, table 3; 8.03 B parameters with both word tables."""
    shape = shape_of(TIERS["pod"].settings)
    assert (shape.layers, shape.width, shape.heads, shape.key_value_heads) == (32, 4096, 32, 8)
    assert (shape.hidden, shape.vocabulary, shape.rotary_base) == (14336, 128256, 500000.0)


def test_word_tables_smaller_than_the_language_are_refused() -> None:
    with pytest.raises(UsageError, match=r"model\.vocabulary = 255: the language has 256 tokens"):
        shape_of({**TIERS["nano"].settings, "model.vocabulary": 255})
    assert shape_of({**TIERS["nano"].settings, "model.vocabulary": 256}).vocabulary == 256


@pytest.mark.parametrize("tier", LARGE)
def test_schedule_and_cap_follow_the_expected_samples(tier: str) -> None:
    large, samples = LARGE[tier], expected_samples(LARGE[tier])
    batch, schedule = int(large.settings["data.documents_per_batch"]), large.schedule
    assert schedule.every <= 0.02 * samples
    assert 0.45 * samples < schedule.first < 0.55 * samples
    assert large.cap_samples == pytest.approx(8 * samples, rel=0.03)
    for amount in (schedule.every, schedule.first, schedule.early_every, large.cap_samples):
        assert amount is not None and amount % batch == 0


@pytest.mark.parametrize("tier", LARGE)
def test_the_reference_time_is_flops_over_two_fifths_of_the_peak(tier: str) -> None:
    large = LARGE[tier]
    tokens = expected_samples(large) * int(large.settings["data.document_tokens"])
    flop = tokens * FLOPS_PER_TOKEN["decoder_train/1"](large.settings)
    assert large.reference_time_s == pytest.approx(flop / reference_flop_per_s(tier), rel=0.02)
    assert large.deadline_s > 8 * 10 * float(large.reference_time_s or 0)


@pytest.mark.parametrize("tier", TIERS)
def test_documents_are_scored_in_whole_batches(tier: str) -> None:
    settings = TIERS[tier].settings
    assert int(settings["evaluation.documents"]) % int(settings["evaluation.documents_per_batch"]) == 0


def single_token_excess(grammar: Grammar, tokens: np.ndarray, information: np.ndarray) -> float:
    """What the best model of single tokens loses over the source, nats a token."""
    share = np.bincount(tokens[:, 1:].ravel(), minlength=grammar.vocabulary) / tokens[:, 1:].size
    share = share[share > 0]
    return float(-(share * np.log(share)).sum() - information.sum() / tokens[:, 1:].size)


def test_nanos_target_is_a_quarter_of_what_single_tokens_lose() -> None:
    grammar = grammar_of(TIERS["nano"].settings)
    assert single_token_excess(grammar, *Source(grammar).documents(7, 0, 20_000)) == pytest.approx(4 * 0.48, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("tier", LARGE)
def test_documents_of_the_tier_are_generated_fast_and_parsed_alike(tier: str) -> None:
    grammar = grammar_of(TIERS[tier].settings)
    source = Source(grammar)
    tokens, information = source.documents(1, 0, 3)
    parsed = [information_nats(grammar, document) for document in tokens.tolist()]
    np.testing.assert_allclose(parsed, information, rtol=1e-12, atol=0)
    started = time.process_time()
    tokens, information = source.documents(7, 0, 2**21 // grammar.document_tokens)
    assert tokens[:, 1:].size / (time.process_time() - started) > 1e6
    excess = single_token_excess(grammar, tokens, information)
    assert LARGE[tier].target == pytest.approx(excess / 4, abs=0.02)
    tables = (grammar.word_counts, source.word_nats, source.word_of_draw)
    assert sum(table.nbytes for table in tables) < 2**29


@pytest.mark.parametrize("tier", LARGE)
def test_a_scaled_down_language_agrees_with_parser_and_entropy(tier: str) -> None:
    """As many names, brackets and depths, and as long forced structures; fewer words and tokens."""
    grammar = replace(grammar_of(TIERS[tier].settings), words=40, successors=20, document_tokens=96)
    tokens, information = Source(grammar).documents(3, 0, 4000)
    parsed = [information_nats(grammar, document) for document in tokens[:100].tolist()]
    np.testing.assert_allclose(parsed, information[:100], rtol=1e-12, atol=0)
    standard_error = information.std(ddof=1) / math.sqrt(len(information))
    assert abs(information.mean() - entropy_nats(grammar).sum()) < 4 * standard_error
