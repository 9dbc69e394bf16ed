"""Prompts: lengths within their bounds, words that differ from the first on, the same for a seed for ever."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import pytest

from oildrop.harness.endpoint.prompts import NUMBER_WORDS, WORDS, Prompts
from oildrop.harness.endpoint.tokenizer import open_tokenizer
from oildrop.rules.errors import Unsupported
from oildrop.rules.records import Scalar

SETTINGS: dict[str, Scalar] = {
    "requests.prompt_tokens_min": 8, "requests.prompt_tokens_max": 12, "requests.output_tokens_min": 3,
    "requests.output_tokens_max": 5, "requests.prompts": "unique",
}  # fmt: skip


def test_one_byte_picks_one_word() -> None:
    assert len(WORDS) == len(set(WORDS)) == 256
    assert all(word.isascii() and word.isalpha() and word.islower() for word in WORDS)


def test_lengths_are_uniform_within_their_bounds() -> None:
    prompts = [Prompts(5, SETTINGS).prompt(index) for index in range(1500)]
    assert all(len(prompt.text.split()) == prompt.input_tokens for prompt in prompts)
    for lengths, bounds in (
        ([prompt.input_tokens for prompt in prompts], range(8, 13)),
        ([prompt.output_tokens for prompt in prompts], range(3, 6)),
    ):
        counts = Counter(lengths)
        assert set(counts) == set(bounds)
        expected = len(prompts) / len(bounds)
        # Chi-squared with 4 (2) degrees of freedom passes 23.5 (18.4) once in 10,000 seeds.
        assert sum((count - expected) ** 2 / expected for count in counts.values()) < 23.5


def test_no_two_prompts_of_a_run_begin_alike_and_no_two_seeds_do() -> None:
    begin = [tuple(Prompts(5, SETTINGS).prompt(index).text.split()[:NUMBER_WORDS]) for index in range(3000)]
    assert len(set(begin)) == 3000
    others = {tuple(Prompts(6, SETTINGS).prompt(index).text.split()[:NUMBER_WORDS]) for index in range(3000)}
    assert not others & set(begin)
    assert all(one[0] != next_[0] for one, next_ in itertools.pairwise(begin))  # nor do neighbours share a word


def test_a_prompt_is_the_same_on_every_machine() -> None:
    """Bits of the stream, written down once: another byte order or generator would change them."""
    assert Prompts(7, SETTINGS).prompt(3).text == ("began board been clear hope her hundred back black day")


def test_repeated_prompts_are_the_first_one() -> None:
    repeated = Prompts(5, {**SETTINGS, "requests.prompts": "repeated"})
    assert {repeated.prompt(index) for index in range(5)} == {Prompts(5, SETTINGS).prompt(0)}


def test_with_a_tokenizer_prompts_have_the_tokens_that_were_drawn(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    # A letter is a token: words are longer than was asked, and are left out until they fit.
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    counter = open_tokenizer(tmp_path / "tokenizer.json")
    settings = {**SETTINGS, "requests.prompt_tokens_min": 60, "requests.prompt_tokens_max": 60}
    for index in range(20):
        prompt = Prompts(5, settings, counter.count).prompt(index)
        assert prompt.input_tokens == len(prompt.text) == counter.count(prompt.text) <= 60
        assert prompt.input_tokens > 60 - 2 * len("hundred ")  # one more word would not have fit, or nearly


def test_a_file_that_is_no_tokenizer_is_told(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    (tmp_path / "t.json").write_text("{}")
    with pytest.raises(Unsupported, match=r"t\.json is no tokenizer\.json"):
        open_tokenizer(tmp_path / "t.json")
    with pytest.raises(Unsupported, match=r"none\.json: No such file"):
        open_tokenizer(tmp_path / "none.json")
