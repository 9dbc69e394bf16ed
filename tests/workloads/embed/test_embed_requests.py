"""The stream of sentences that are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from oildrop.rules.errors import UsageError
from oildrop.workloads.embed.requests import BLOCK_REQUESTS, Requests, padded
from oildrop.workloads.integers import raw_words


def test_a_sentence_is_its_own_words_of_the_seed_one_draw_at_a_time(embed_settings: dict[str, Any]) -> None:
    """Sentence 1500 worked out with Python's integers: 32 words an item, two draws of 32 bits in each but the first."""
    first, vocabulary = embed_settings["data.first_word"], embed_settings["model.vocabulary"]
    raw = [int(word) for word in raw_words(5, "sentences", first_block=0, count=32 * 1501)[32 * 1500 :]]
    length = 8 + ((raw[0] >> 32) * 57 >> 32)
    draws = [half for word in raw[1:] for half in (word % 2**32, word >> 32)]
    words = [first + (draw * (vocabulary - first) >> 32) for draw in draws[: length - 2]]

    requests = Requests(embed_settings, 5)
    assert requests.length(1500) == length
    tokens, lengths = requests.batch([1500])
    assert lengths.tolist() == [length]
    assert tokens[0, :length].tolist() == [1, *words, 2]
    assert not tokens[0, length:].any()
    assert tokens.shape[1] in (32, 64)


def test_lengths_and_words_take_every_value(embed_settings: dict[str, Any]) -> None:
    requests = Requests(embed_settings, 1)
    lengths = [requests.length(index) for index in range(2000)]
    assert sorted(set(lengths)) == list(range(8, 65))
    tokens, of = requests.batch(range(1000))
    inside = (np.arange(tokens.shape[1]) > 0) & (np.arange(tokens.shape[1]) < of[:, None] - 1)
    assert sorted(set(tokens[inside].tolist())) == list(range(4, 300))


def test_no_sentence_comes_twice(embed_settings: dict[str, Any]) -> None:
    tokens, _ = Requests(embed_settings, 1).batch(range(3 * BLOCK_REQUESTS))
    assert len(np.unique(tokens, axis=0)) == 3 * BLOCK_REQUESTS


def test_a_repeated_sentence_is_the_first_one(embed_settings: dict[str, Any]) -> None:
    unique, repeated = Requests(embed_settings, 3), Requests(embed_settings | {"requests.prompts": "repeated"}, 3)
    assert repeated.length(2000) == unique.length(0)
    assert np.array_equal(repeated.batch([7])[0], unique.batch([0])[0])


@pytest.mark.parametrize(
    ("length", "longest", "expected"), [(3, 64, 32), (32, 64, 32), (33, 64, 64), (33, 40, 40), (130, 512, 256)]
)
def test_lengths_are_filled_up_to_few(length: int, longest: int, expected: int) -> None:
    assert padded(length, longest) == expected


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"requests.tokens_min": 70}, "requests.tokens_min is 70"),
        ({"requests.tokens_max": 65}, r"model\.positions = 64"),
        ({"data.first_word": 300}, "data.first_word is 300"),
    ],
)
def test_settings_without_room_are_refused(embed_settings: dict[str, Any], changed: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        Requests(embed_settings | changed, 1)
