"""Addresses as people type them, and as a record may hold them."""

from __future__ import annotations

import pytest

from oildrop.harness.endpoint.address import parse_address
from oildrop.harness.endpoint.environment import key_headers, read_target, worker_environment
from oildrop.rules.errors import Unsupported, UsageError


@pytest.mark.parametrize(
    ("text", "whole", "shown"),
    [
        ("localhost:8000", "http://localhost:8000/v1", "http://localhost:8000/v1"),
        ("http://127.0.0.1:11434", "http://127.0.0.1:11434/v1", "http://localhost:11434/v1"),
        ("http://[::1]:80/", "http://[::1]/v1", "http://localhost:80/v1"),
        ("https://gpu7.lab.example/v1/", "https://gpu7.lab.example/v1", "https://<host>:443/v1"),
        ("http://10.0.0.7:30000/openai/v1/chat/completions", "http://10.0.0.7:30000/openai/v1",
         "http://<host>:30000/openai/v1"),
    ],
)  # fmt: skip
def test_addresses(text: str, whole: str, shown: str) -> None:
    address = parse_address(text)
    assert (address.text, address.shown) == (whole, shown)
    assert parse_address(address.text) == address


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ftp://h/v1", "is no http or https address"), ("http://", "is no http or https address"),
        ("http://h:99999", "is no address"), ("http://h/v1?key=x", "something after its path"),
        ("http://me:pass@h/v1", "set OILDROP_API_KEY"),
    ],
)  # fmt: skip
def test_what_is_no_address(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as error:
        parse_address(text)
    assert "pass" not in str(error.value)


def test_keys() -> None:
    assert key_headers({}) == {}
    assert key_headers({"OPENAI_API_KEY": " b "}) == {"Authorization": "Bearer b"}
    assert key_headers({"OPENAI_API_KEY": "b", "OILDROP_API_KEY": "a"}) == {"Authorization": "Bearer a"}
    with pytest.raises(UsageError, match="OILDROP_API_KEY holds") as error:
        key_headers({"OILDROP_API_KEY": "abc\r\nX: y"})
    assert "abc" not in str(error.value)


def test_a_worker_reads_what_its_supervisor_wrote() -> None:
    address = parse_address("https://h:1/v1")
    target = read_target({**worker_environment(address, "m", None), "OILDROP_API_KEY": "k-9"})
    assert (target.address, target.model, target.tokenizer) == (address, "m", None)
    assert "k-9" not in repr(target)
    with pytest.raises(Unsupported, match="--endpoint"):
        read_target({})
