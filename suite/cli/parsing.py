"""Values of options from text: names, amounts of memory, lists of seeds, settings."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from oildrop.rules.errors import UsageError

if TYPE_CHECKING:
    from oildrop.suite.servers import ServerRequest

UNITS = {"": 1, "b": 1, **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", start=1)}}
UNITS |= {f"{letter}b": 1000**power for power, letter in enumerate("kmgt", start=1)}
"""Bytes by unit: KiB to TiB are powers of 1024, kB to TB powers of 1000."""

SEED_LIMIT = 2**53


def unknown_name(what: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that nobody knows; it offers the nearest ones."""
    from oildrop.rules.settings import nearest

    return UsageError(f"unknown {what} {name!r}{nearest(name, list(known))}")


def parse_bytes(option: str, text: str) -> int:
    """`2147483648`, `2GiB` or `1.5 GB` in bytes. Raises UsageError naming `option`."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    unit = UNITS.get(found.group(2).lower()) if found else None
    if found is None or unit is None:
        raise UsageError(f"{option} {text!r} is not an amount of memory; use bytes or KiB, MiB, GiB, such as 2GiB")
    amount = round(float(found.group(1)) * unit)
    if amount < 1:
        raise UsageError(f"{option} {text!r} is under one byte; use for example 2GiB")
    return amount


def parse_seeds(text: str) -> tuple[int, ...]:
    """`1,2,7` as seeds. Raises UsageError for what is no whole number, too large, or stands twice."""
    seeds = []
    for word in text.split(","):
        if not re.fullmatch(r"\s*\d+\s*", word):
            raise UsageError(f"--seeds {text!r}: {word.strip()!r} is not a whole number; use for example --seeds 1,2,3")
        seeds.append(int(word))
    for seed in seeds:
        if seed >= SEED_LIMIT:
            raise UsageError(f"--seeds: {seed} is not under 2^53 = {SEED_LIMIT}")
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"--seeds {text!r} names a seed twice; name each once")
    return tuple(seeds)


def parse_counts(option: str, text: str, *, zero: bool = False) -> tuple[int, ...]:
    """`1,4,16` as whole numbers above 0, or from 0 on, each once. Raises UsageError naming `option`."""
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if not re.fullmatch(r"\d{1,9}", word) or not (zero or int(word)):
            above = "" if zero else " above 0"
            raise UsageError(f"{option} {text!r}: {word!r} is not a whole number{above}; use for example 1,4,16")
    return tuple(dict.fromkeys(int(word) for word in words))


def parse_rate(value: float | None) -> float | None:
    """`value` when it is a positive finite number of queries a second (or None). Raises UsageError."""
    if value is not None and not (math.isfinite(value) and value > 0):
        raise UsageError(f"--rate {value:g} is not a rate; give queries a second above 0")
    return value


def make_folder(option: str, path: Path) -> Path:
    """`path` as a folder that exists, with its whole address. Raises UsageError where it cannot be made or written."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{option} {path}: {error.strerror}; name a folder that can be written") from error
    if not os.access(path, os.W_OK):
        raise UsageError(f"{option} {path} cannot be written; name another folder")
    return path.resolve()


def parse_settings(words: Sequence[str]) -> dict[str, str]:
    """`key=value` words as a mapping. Raises UsageError for a missing `=` or a key named twice."""
    settings: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise UsageError(f"--set {word!r} is not key=value; see the keys with `oildrop list BENCHMARK`")
        if key.strip() in settings:
            raise UsageError(f"--set {key.strip()} stands twice; give it one value")
        settings[key.strip()] = value.strip()
    return settings


def parse_seconds(option: str, value: float | None) -> float | None:
    """`value` when it is a positive finite number of seconds (or None). Raises UsageError."""
    if value is not None and not (math.isfinite(value) and value > 0):
        raise UsageError(f"{option} {value:g} is not a time; give seconds above 0")
    return value


def setting_text(value: object) -> str:
    """A setting as `--set` takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse_server(
    endpoint: str | None, *, model: str | None, api: str | None, tokenizer: Path | None, system: Path | None
) -> ServerRequest | None:
    """The server to ask; None where none is named. Raises UsageError for words about a server that is not named."""
    about = {"--model": model, "--api": api, "--tokenizer": tokenizer, "--system": system}
    if endpoint is None:
        for option, value in about.items():
            if value is not None:
                raise UsageError(f"{option} is about the server of lm-serve; give its address by --endpoint URL too")
        return None
    from oildrop.suite.servers import ServerRequest

    return ServerRequest(url=endpoint, model=model, api=api, tokenizer=tokenizer, system=system)
