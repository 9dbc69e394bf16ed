"""The stream of requests: exact lengths, unique prompts, and what the source itself thinks of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from oildrop.rules.errors import UsageError
from oildrop.rules.loading import load_rulebook
from oildrop.rules.rulebook import settings_of
from oildrop.workloads.integers import raw_words
from oildrop.workloads.lm_generate.requests import BLOCK_REQUESTS, Requests
from oildrop.workloads.lm_pretrain.grammar import grammar_of
from oildrop.workloads.lm_pretrain.parser import choices_of
from oildrop.workloads.lm_pretrain.source import Source


@pytest.fixture(scope="module")
def nano() -> dict[str, Any]:
    return settings_of(load_rulebook().benchmarks["lm-generate"].tiers["nano"])


def requests_of(settings: dict[str, Any], seed: int = 11) -> Requests:
    return Requests(settings, Source(grammar_of(settings)), seed)


def test_ten_thousand_prompts_at_nano_are_unique_and_exactly_as_long_as_they_say(nano: dict[str, Any]) -> None:
    requests = requests_of(nano)
    prompts = [requests.prompt(index) for index in range(10_000)]
    assert len({prompt.tobytes() for prompt in prompts}) == 10_000
    assert all(len(prompt) == requests.size(index).input_tokens for index, prompt in enumerate(prompts))
    assert {len(prompt) for prompt in prompts} == set(range(8, 33))
    assert {requests.size(index).output_tokens for index in range(10_000)} == set(range(8, 33))


def test_a_prompt_that_was_asked_before_is_drawn_again_from_the_next_part(nano: dict[str, Any]) -> None:
    short = {**nano, "requests.prompt_tokens_min": 3, "requests.prompt_tokens_max": 3}
    requests, source = requests_of(short), Source(grammar_of(short))
    tokens, _ = source.documents(11, 0, 600, part="serve")
    prompts = [requests.prompt(index) for index in range(600)]
    again = [index for index in range(600) if not np.array_equal(prompts[index], tokens[index, :3])]
    assert len({prompt.tobytes() for prompt in prompts}) == 600
    assert len(again) >= 600 - len({row[:3].tobytes() for row in tokens}) > 0
    drawn = [source.documents(11, index, 1, part="serve/1")[0][0, :3] for index in again]
    assert sum(np.array_equal(prompts[index], row) for index, row in zip(again, drawn, strict=True)) > len(again) // 2


@pytest.mark.parametrize("index", [0, 1, BLOCK_REQUESTS - 1, BLOCK_REQUESTS, 5000])
def test_lengths_are_the_upper_bits_of_the_requests_own_words(nano: dict[str, Any], index: int) -> None:
    prompt_word, output_word = raw_words(11, "requests/sizes", first_block=index, count=2).tolist()
    size = requests_of(nano).size(index)
    assert size.input_tokens == 8 + (prompt_word >> 32) * 25 // 2**32
    assert size.output_tokens == 8 + (output_word >> 32) * 25 // 2**32


def test_the_sources_nats_are_those_of_the_choices_behind_the_prompt(nano: dict[str, Any]) -> None:
    requests, grammar = requests_of(nano), grammar_of(nano)
    tokens, _ = Source(grammar).documents(11, 0, 40, part="serve")
    for index in range(40):
        length = len(requests.prompt(index))
        if not np.array_equal(requests.prompt(index), tokens[index, :length]):
            continue
        nats = math.fsum(
            choice.nats for choice in choices_of(grammar, tokens[index].tolist()) if choice.position < length
        )
        assert requests.source_nats(index) == pytest.approx(nats, rel=1e-12)


def test_a_prefix_as_long_as_the_document_has_the_documents_information(nano: dict[str, Any]) -> None:
    source = Source(grammar_of(nano))
    tokens, information = source.documents(3, 5, 7, part="serve")
    prefixes, cumulative = source.prefixes(3, 5, 7, 65, "serve")
    assert np.array_equal(prefixes, tokens)
    assert np.array_equal(cumulative[:, -1], information)
    assert (cumulative[:, 0] == 0).all() and (np.diff(cumulative) >= 0).all()


def test_other_seeds_ask_other_things(nano: dict[str, Any]) -> None:
    first, second = requests_of(nano, 1), requests_of(nano, 2)
    assert sum(np.array_equal(first.prompt(i), second.prompt(i)) for i in range(200)) == 0


def test_repeated_asks_request_0s_prompt_again_and_again(nano: dict[str, Any]) -> None:
    unique, repeated = requests_of(nano), requests_of({**nano, "requests.prompts": "repeated"})
    for index in (0, 1, 2000):
        assert np.array_equal(repeated.prompt(index), unique.prompt(0))
        assert repeated.size(index).input_tokens == unique.size(0).input_tokens
        assert repeated.size(index).output_tokens == unique.size(index).output_tokens


def test_a_language_with_too_few_prompts_is_refused(nano: dict[str, Any]) -> None:
    short = {**nano, "requests.prompt_tokens_min": 1, "requests.prompt_tokens_max": 1}
    with pytest.raises(UsageError, match=r"request 1: 64 prompts of 1 tokens .* requests.prompt_tokens_min"):
        requests_of(short).prompt(1)
