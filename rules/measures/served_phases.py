"""What the engine did with its time: reading prompts, decoding, or neither; and its rates while it did."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from oildrop.rules import keys
from oildrop.rules.case import Case
from oildrop.rules.measures.making import absent, present
from oildrop.rules.measures.served_cache import prompt_tokens_of
from oildrop.rules.measures.served_devices import ASKED
from oildrop.rules.records import Metric

RATES = {"prefill": "engine_prefill_rate/1", "decode": "engine_decode_rate/1"}
SHARE = "engine_time_share/1"
APART = "prompts are read in a process of their own while this one decodes, so the two times do not add up"


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One kind of step: nanoseconds in such steps, how many there were, and the tokens that they read or said."""

    ns: int
    steps: int
    tokens: int


def engine_phases(case: Case) -> dict[str, Phase] | str:
    """Both kinds of step by name, `prefill` and `decode`, or why nothing is known of them.

    Prompt tokens that were found in a declared prefix cache were read in no step.
    """
    event = case.evidence.first(keys.SERVED)
    meta = {} if event is None else event.meta
    found: dict[str, Phase] = {}
    for name in RATES:
        totals = {each: meta.get(f"engine_{name}_{each}") for each in ("ns", "steps", "tokens")}
        numbers = {each: total for each, total in totals.items() if isinstance(total, int) and total >= 0}
        if len(numbers) < len(totals):
            return why_unknown(case)
        found[name] = Phase(**numbers)
    cached = prompt_tokens_of(case)
    if cached is not None:
        found["prefill"] = replace(found["prefill"], tokens=max(found["prefill"].tokens - cached.cached, 0))
    run_s, both_s = case.timeline.run_s, sum(phase.ns for phase in found.values()) / 1e9
    if run_s and both_s > run_s and not reads_elsewhere(case):
        return f"the log has steps of {both_s:.3f} s, longer than the run of {run_s:.3f} s"
    return found


def why_unknown(case: Case) -> str:
    """Why the log does not part the engine's time."""
    if case.evidence.spec.backend == ASKED:
        return "the server does not say when it reads prompts and when it decodes"
    if case.served is not None and not case.served.has_tokens:
        return "answers of this benchmark come whole: nothing is decoded"
    return "the log does not say how long the engine read prompts and how long it decoded"


def reads_elsewhere(case: Case) -> bool:
    """Whether prompts are read in a process of their own."""
    return case.evidence.spec.settings.get("execution.transfer", "none") != "none"


def phase_metrics(case: Case) -> Iterator[Metric]:
    """`engine_prefill_tokens_per_s`, `engine_decode_tokens_per_s`, and `engine_time_fraction` with that of each."""
    phases = engine_phases(case)
    for name, formula in RATES.items():
        metric = f"engine_{name}_tokens_per_s"
        if isinstance(phases, str):
            yield absent(metric, phases, formula=formula, scope="run")
        elif not phases[name].tokens or not phases[name].ns:
            yield absent(metric, f"no token came in a step of {name}", formula=formula, scope="run")
        else:
            phase = phases[name]
            yield present(
                metric, phase.tokens / (phase.ns / 1e9), formula=formula, scope="run", sample_count=phase.steps
            )
    yield from _shares(case, phases)


def _shares(case: Case, phases: dict[str, Phase] | str) -> Iterator[Metric]:
    name, run_s = "engine_time_fraction", case.timeline.run_s
    if isinstance(phases, str) or not run_s:
        reason = phases if isinstance(phases, str) else "the run has no time from run_start to run_stop"
        yield absent(name, reason, formula=SHARE, scope="run")
        for each in RATES:
            yield absent(name, reason, formula=SHARE, scope="run", dims={"phase": each})
        return
    if reads_elsewhere(case):
        yield absent(name, APART, formula=SHARE, scope="run", status="not_applicable")
    else:
        both = sum(phase.ns for phase in phases.values()) / 1e9 / run_s
        yield present(name, both, formula=SHARE, scope="run")
    for each, phase in phases.items():
        yield present(
            name, phase.ns / 1e9 / run_s, formula=SHARE, scope="run", sample_count=phase.steps, dims={"phase": each}
        )
