"""Rules on caches that nobody declared: prompts asked again beside new ones, after the clock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeGuard

from oildrop.rules import keys
from oildrop.rules.checks.registry import Broken, Judged, broken, rule
from oildrop.rules.formulas.repeats import LEAST_PAIRS, MARGIN, Speedup, speedup
from oildrop.rules.measures.served_cache import prompt_tokens_of
from oildrop.rules.prefix_cache import declares_cache, looks_for_cache

REPEAT = "repeat the run with an unchanged harness"
ENDPOINT = "endpoint"
"""The backend of a run that asks a server that somebody else runs."""

LOOK_LONGER = (
    "give the run a later deadline (--timeout); of a server that takes over half a second for an answer of four tokens "
    "take a larger tier, where it is looked for longer, or declare the cache (--set endpoint.prefix_cache=on)"
)

DECLARE = {
    True: "declare the server's prefix cache with --set endpoint.prefix_cache=on, or start the server without one",
    False: "declare the engine's prefix cache with --set execution.prefix_cache=on, or answer without one",
}
"""What to do, by whether a server that somebody else runs was asked."""


@rule("R048")
def repeated_no_faster(judged: Judged) -> Iterator[Broken]:
    """The median ratio new / repeated of times to the first token is not surely over the margin."""
    spec = judged.case.evidence.spec
    found = _speedup(judged) if looks_for_cache(spec.settings) else None
    if found is None or not found.is_from_a_cache:
        return
    message = (
        f"prompts asked before were answered {found.value:.2f} times as fast as new ones (surely over {MARGIN:g}: "
        f"{found.low:.2f} at least, {found.pairs} pairs), and no prefix cache was declared"
    )
    yield broken(
        message, DECLARE[spec.backend == ENDPOINT],
        speedup=found.value, speedup_low=found.low, pairs=found.pairs, margin=MARGIN,
    )  # fmt: skip


@rule("R049")
def cache_looked_for(judged: Judged) -> Iterator[Broken]:
    """Enough pairs came back."""
    settings = judged.case.evidence.spec.settings
    if judged.verdict.outcome != "ok" or not looks_for_cache(settings) or _speedup(judged) is not None:
        return
    event = judged.case.evidence.last(keys.REPEATS)
    pairs = event.value if event is not None else 0
    message = f"answered pairs of a prompt asked again and a new one: {pairs}; {LEAST_PAIRS} tell of a cache"
    yield broken(message, LOOK_LONGER, pairs=pairs, least=LEAST_PAIRS)


@rule("R051")
def prompt_tokens_counted(judged: Judged) -> Iterator[Broken]:
    """Tokens asked are those of the table; of each prompt at least the last was read."""
    case, served = judged.case, judged.case.served
    spec, counts = case.evidence.spec, prompt_tokens_of(case)
    if spec.backend == ENDPOINT or not declares_cache(spec.settings) or judged.verdict.outcome != "ok" or not served:
        return
    if counts is None:
        yield broken("the log does not say how many prompt tokens were found in the prefix cache", REPEAT)
        return
    asked = sum(served.table.input_tokens)
    if counts.asked != asked:
        message = f"the engine counted {counts.asked} prompt tokens, the requests brought {asked}"
        yield broken(message, REPEAT, counted=counts.asked, asked=asked)
    if not 0 <= counts.cached <= asked - served.count:
        message = f"{counts.cached} of {asked} prompt tokens were found in the cache, and each prompt's last is read"
        yield broken(message, REPEAT, cached=counts.cached, asked=asked)


def _speedup(judged: Judged) -> Speedup | None:
    """Worked out from the logged times; None where they are too few or not what they should be."""
    event = judged.case.evidence.last(keys.REPEATS)
    new_ns, repeated_ns = (event.meta.get(name) if event is not None else None for name in ("new_ns", "repeated_ns"))
    if not _are_counts(new_ns) or not _are_counts(repeated_ns):
        return None
    try:
        return speedup(new_ns, repeated_ns)
    except ValueError:
        return None


def _are_counts(values: object) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(isinstance(value, int) and not isinstance(value, bool) for value in values)
