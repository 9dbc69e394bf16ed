"""What a worker must know of a server and no bundle may hold: it goes by the worker's environment, not by its spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from oildrop.harness.endpoint.address import Address, parse_address
from oildrop.rules.errors import Unsupported, UsageError

BACKEND = "endpoint"
"""What stands where a run on this machine names its framework and device: a server that somebody else runs."""

ADDRESS = "OILDROP_ENDPOINT"
MODEL = "OILDROP_ENDPOINT_MODEL"
TOKENIZER = "OILDROP_TOKENIZER"
BEARER = "Bearer "
SHORTEST_SECRET = 8
"""A key of fewer characters is a word such as EMPTY, put there because a client insisted on one."""

API_KEYS = ("OILDROP_API_KEY", "OPENAI_API_KEY")
"""The first one that is set is the server's key."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """The server, its model's name as the server has it, and a file with its tokenizer."""

    address: Address
    model: str
    tokenizer: Path | None
    headers: Mapping[str, str] = field(repr=False)


def worker_environment(address: Address, model: str, tokenizer: Path | None) -> dict[str, str]:
    """What the worker gets beside the variables that it inherits, the key among them."""
    given = {ADDRESS: address.text, MODEL: model}
    return given if tokenizer is None else {**given, TOKENIZER: str(tokenizer)}


def read_target(environment: Mapping[str, str]) -> Target:
    """The target in a worker's environment. Raises Unsupported where there is none, UsageError for a broken key."""
    if not environment.get(ADDRESS):
        raise Unsupported("no server was named; give its address by --endpoint http://HOST:PORT")
    tokenizer = environment.get(TOKENIZER)
    return Target(
        address=parse_address(environment[ADDRESS]),
        model=environment.get(MODEL, ""),
        tokenizer=None if not tokenizer else Path(tokenizer),
        headers=key_headers(environment),
    )


def key_headers(environment: Mapping[str, str]) -> dict[str, str]:
    """The header with the server's key; none where no key is set. Raises UsageError without naming the key."""
    name = next((name for name in API_KEYS if environment.get(name)), None)
    if name is None:
        return {}
    key = environment[name].strip()
    if not key.isascii() or not key.isprintable():
        raise UsageError(f"{name} holds characters that no HTTP header can; set it to the key alone")
    return {"Authorization": BEARER + key}


def without_key(words: str | None, headers: Mapping[str, str]) -> str | None:
    """A server's `words` without the key that `headers` hold, be it whole or cut off at their end."""
    key = headers.get("Authorization", "").removeprefix(BEARER)
    if words is None or len(key) < SHORTEST_SECRET:
        return words
    words = words.replace(key, "<secret>")
    cut = next((n for n in range(len(key) - 1, SHORTEST_SECRET - 1, -1) if words.endswith(key[:n])), 0)
    return words[: len(words) - cut] + "<secret>" if cut else words
