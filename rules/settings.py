"""Resolve what a run was asked for against what the rulebook allows."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from oildrop.rules.errors import UsageError
from oildrop.rules.loading import bounds_problem
from oildrop.rules.records import Scalar
from oildrop.rules.rulebook import Benchmark, Rulebook, settings_of

MAX_LIMIT = 10**12


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """Settings of one run, and those that differ from the tier's own as (default, chosen)."""

    settings: dict[str, Scalar]
    changed: dict[str, tuple[Scalar, Scalar]]


def nearest(word: str, known: list[str]) -> str:
    """`; did you mean …?` with up to three near names, else the list itself when it is short."""
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    return f"; known: {', '.join(sorted(known))}" if len(known) <= 12 else ""


def find_benchmark(rulebook: Rulebook, name: str) -> Benchmark:
    """The benchmark `name`. Raises UsageError with the nearest names."""
    if name not in rulebook.benchmarks:
        raise UsageError(f"unknown benchmark {name!r}{nearest(name, list(rulebook.benchmarks))}")
    return rulebook.benchmarks[name]


def resolve(benchmark: Benchmark, tier: str, division: str, changes: dict[str, str]) -> Resolved:
    """All settings of a run, after `changes` (text by dotted key).

    Raises:
        UsageError: An unknown tier or key, a value of the wrong type or out of range, or a key that
            division closed locks.
    """
    if tier not in benchmark.tiers:
        raise UsageError(f"{benchmark.name} has no tier {tier!r}{nearest(tier, list(benchmark.tiers))}")
    settings = settings_of(benchmark.tiers[tier])
    changed: dict[str, tuple[Scalar, Scalar]] = {}
    for key, text in changes.items():
        value = _parse(benchmark, settings, key, text)
        if value == settings[key]:
            continue
        if division == "closed" and not benchmark.is_free_in_closed(key):
            raise UsageError(
                f"{key} is locked in division closed ({benchmark.name} sets {settings[key]!r}); "
                f"add --division open to change it, and the run is listed there"
            )
        changed[key] = (settings[key], value)
    return Resolved(settings={**settings, **{key: new for key, (_, new) in changed.items()}}, changed=changed)


def _parse(benchmark: Benchmark, settings: dict[str, Scalar], key: str, text: str) -> Scalar:
    if key not in settings:
        raise UsageError(f"{benchmark.name} has no setting {key!r}{nearest(key, list(settings))}")
    value = _as_type_of(settings[key], key, text)
    if key.startswith("limit.") and not 0 < int(value) <= MAX_LIMIT:
        raise UsageError(f"{key} = {text} is outside 1 to {MAX_LIMIT}")
    problem = bounds_problem(benchmark, key, value)
    if problem:
        raise UsageError(problem)
    return value


def _as_type_of(example: Scalar, key: str, text: str) -> Scalar:
    if isinstance(example, bool):
        if text.lower() not in ("true", "false"):
            raise UsageError(f"{key} = {text!r} is not true or false")
        return text.lower() == "true"
    if isinstance(example, str):
        return text
    kind = type(example)
    try:
        value = kind(text)
    except ValueError:
        article = "a whole number" if kind is int else "a number"
        raise UsageError(f"{key} = {text!r} is not {article} (default {example!r})") from None
    if value != value or value in (float("inf"), float("-inf")):
        raise UsageError(f"{key} = {text!r} is not a finite number")
    return value
