"""Text of options becomes values, or an error that names the text and a right form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oildrop.rules.errors import UsageError
from oildrop.suite.cli.parsing import parse_bytes, parse_seconds, parse_seeds, parse_settings, setting_text


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1", 1),
        ("2147483648", 2_147_483_648),
        ("2GiB", 2_147_483_648),
        ("2gib", 2_147_483_648),
        ("2 GB", 2_000_000_000),
        ("512MiB", 536_870_912),
        ("1.5KiB", 1536),
        ("3TB", 3_000_000_000_000),
    ],
)
def test_amounts_of_memory(text: str, amount: int) -> None:
    assert parse_bytes("--memory-limit", text) == amount


@pytest.mark.parametrize("text", ["", "GiB", "-1", "2 G i B", "2GiBs", "1e9", "nan", "0", "0.1"])
def test_what_is_no_amount_of_memory_is_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError, match=r"--memory-limit .*2GiB"):
        parse_bytes("--memory-limit", text)


@given(st.lists(st.integers(min_value=0, max_value=2**53 - 1), min_size=1, unique=True))
def test_seeds_come_back_in_order(seeds: list[int]) -> None:
    assert parse_seeds(",".join(map(str, seeds))) == tuple(seeds)


@pytest.mark.parametrize("text", ["", ",", "1,,2", "1.5", "-1", "one", "1,1", str(2**53)])
def test_wrong_seeds_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--seeds"):
        parse_seeds(text)


def test_settings_keep_their_text_and_may_hold_equals_signs() -> None:
    assert parse_settings(["a.b=1e-3", "c = x=y"]) == {"a.b": "1e-3", "c": "x=y"}


@pytest.mark.parametrize("words", [["a"], ["=1"], ["a="], ["a=1", "a=2"]])
def test_wrong_settings_are_refused(words: list[str]) -> None:
    with pytest.raises(UsageError, match="--set"):
        parse_settings(words)


@pytest.mark.parametrize("value", [0.0, -3.0, float("nan"), float("inf")])
def test_a_time_must_be_positive_and_finite(value: float) -> None:
    with pytest.raises(UsageError, match="--timeout"):
        parse_seconds("--timeout", value)


def test_no_time_stays_no_time() -> None:
    assert parse_seconds("--timeout", None) is None


def test_settings_are_shown_as_they_are_given() -> None:
    assert [setting_text(value) for value in (True, 3, 0.001, "bf16")] == ["true", "3", "0.001", "bf16"]
