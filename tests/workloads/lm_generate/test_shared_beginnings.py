"""Prompts that come in families begin alike, go on as the language does, and are scored where they are their own."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest

from oildrop.rules.errors import UsageError
from oildrop.rules.loading import load_rulebook
from oildrop.rules.rulebook import settings_of
from oildrop.workloads.lm_generate.requests import Requests
from oildrop.workloads.lm_generate.shared_beginnings import families_of, source_of
from oildrop.workloads.lm_pretrain.grammar import grammar_of
from oildrop.workloads.lm_pretrain.parser import choices_of
from oildrop.workloads.lm_pretrain.source import Source

COUNT = 3000


@pytest.fixture(scope="module")
def shared() -> dict[str, Any]:
    nano = settings_of(load_rulebook().benchmarks["lm-generate"].tiers["nano"])
    return {**nano, "requests.shared_prefix_tokens": 16, "requests.shared_prefixes": 5}


@pytest.fixture(scope="module")
def requests(shared: dict[str, Any]) -> Requests:
    return Requests(shared, source_of(shared), 11)


def test_prompts_of_a_family_begin_alike_and_every_one_is_longer(requests: Requests) -> None:
    family = families_of(11, 0, COUNT, 5).tolist()
    prompts = [requests.prompt(index) for index in range(COUNT)]
    beginnings = {family[index]: prompt[:16].tobytes() for index, prompt in enumerate(prompts)}
    assert len(set(beginnings.values())) == 5
    assert all(prompt[:16].tobytes() == beginnings[family[index]] for index, prompt in enumerate(prompts))
    assert {len(prompt) for prompt in prompts} == set(range(24, 33))
    assert all(requests.size(index).input_tokens == len(prompt) for index, prompt in enumerate(prompts))
    assert len({prompt.tobytes() for prompt in prompts}) == COUNT
    counts = Counter(family)
    assert all(abs(count - COUNT / 5) < 5 * math.sqrt(COUNT * 0.2 * 0.8) for count in counts.values())


def test_what_follows_is_the_language_and_its_nats_are_those_of_its_own_choices(
    requests: Requests, shared: dict[str, Any]
) -> None:
    tokens, _ = source_of(shared).documents(11, 0, 60, part="serve")
    for index in range(60):
        prompt = requests.prompt(index)
        if not np.array_equal(prompt, tokens[index, : len(prompt)]):
            continue  # it was drawn again
        choices = choices_of(grammar_of(shared), tokens[index].tolist())
        own = math.fsum(choice.nats for choice in choices if 16 <= choice.position < len(prompt))
        assert requests.source_nats(index) == pytest.approx(own, rel=1e-9)
    assert requests.own_from == 16


def test_other_parts_of_the_language_are_as_ever(shared: dict[str, Any]) -> None:
    plain = Source(grammar_of(shared))
    found, expected = (source.documents(3, 0, 9, part="gate")[0] for source in (source_of(shared), plain))
    assert np.array_equal(found, expected)
    alone = {**shared, "requests.shared_prefix_tokens": 0}
    assert type(source_of(alone)) is Source
    assert Requests(alone, source_of(alone), 11).own_from == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"requests.shared_prefix_tokens": 25}, r"requests\.prompt_tokens_max = 32 tokens, .* ask for 24 or fewer"),
        ({"requests.depth_tokens": 8}, "set one of them to 0"),
    ],
)
def test_beginnings_that_leave_no_room_are_refused(shared: dict[str, Any], changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        source_of(shared | changes)
