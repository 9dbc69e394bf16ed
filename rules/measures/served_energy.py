"""Energy of a served run, and of a token in prefill and in decode where these can be told apart."""

from __future__ import annotations

from collections.abc import Iterator

from oildrop.rules.case import Case
from oildrop.rules.measures.energy import FORMULAS, ScopeEnergy, energy_of_run, energy_per, run_window
from oildrop.rules.measures.energy_parts import attempt_metric, energy_parts
from oildrop.rules.measures.making import absent, present
from oildrop.rules.measures.served_devices import out_of_sight
from oildrop.rules.measures.served_phases import APART, Phase, engine_phases, reads_elsewhere
from oildrop.rules.records import Metric
from oildrop.rules.served import Served

SPLIT = "energy_split_by_time/1"
SPLIT_BY_STEPS = "energy_split_by_steps/1"
NAMES = ("energy_per_token_j", "energy_per_request_j")


def served_energy_metrics(case: Case) -> Iterator[Metric]:
    """Energy, power, idle power, and energy a request and an output token with its two phases."""
    unseen, served = out_of_sight(case), case.served
    whole = unseen or energy_of_run(case)
    yield from energy_parts(case, whole)
    name = "energy_attempt_j"
    yield absent(name, unseen, formula=FORMULAS[name], scope="run") if unseen else attempt_metric(case)
    if isinstance(whole, str):
        for name in NAMES:
            yield absent(name, whole, formula=FORMULAS[name], scope="run")
        yield from _no_split(whole)
        return
    tokens = served.output_tokens if served is not None and served.has_tokens else 0
    answered = len(served.answered) if served is not None else 0
    yield energy_per(case, "energy_per_token_j", whole, tokens, "no output token was counted")
    yield energy_per(case, "energy_per_request_j", whole, answered, "no request was answered")
    phases = engine_phases(case)
    if served is None or not tokens:
        yield from _no_split("no output token was counted")
    elif reads_elsewhere(case):
        yield from _no_split(APART)
    elif not isinstance(phases, str):
        yield from _split_by_steps(case, phases, whole)
    elif case.evidence.spec.scenario == "single-stream":
        yield from _split(case, served, whole)
    else:
        yield from _no_split(phases)


def _split_by_steps(case: Case, phases: dict[str, Phase], whole: ScopeEnergy) -> Iterator[Metric]:
    """The run's mean power times the engine's time in steps of each phase; energy of idle time belongs to neither.

    Modelled, never measured: steps take milliseconds, and no meter's counter moves that often.
    """
    run_s = case.timeline.run_s
    for phase, spent in phases.items():
        if not run_s or not spent.tokens or whole.energy_j is None:
            yield _absent(phase, f"no token was counted in {phase}", SPLIT_BY_STEPS)
            continue
        yield present(
            "energy_per_token_j", whole.energy_j * (spent.ns / 1e9 / run_s) / spent.tokens, formula=SPLIT_BY_STEPS,
            scope=whole.scope, status="modelled", sample_count=spent.tokens,
            window_ns=run_window(case), dims={"phase": phase},
        )  # fmt: skip


def _split(case: Case, served: Served, whole: ScopeEnergy) -> Iterator[Metric]:
    """The run's mean power times the time of each phase, one request being served at a time; of logs without steps.

    Prefill lasts from issue to first token and has the prompt's tokens, decode from first to last and the others.
    """
    run_s, table = case.timeline.run_s, served.table
    spans = [(row, span) for row, span in enumerate(served.spans_ns) if span is not None]
    prefill_ns = sum(first - table.issued_ns[row] for row, (first, _) in spans)
    decode_ns = sum(last - first for _, (first, last) in spans)
    decoded = served.output_tokens - len(spans)
    for phase, spent_ns, tokens in (("prefill", prefill_ns, served.input_tokens), ("decode", decode_ns, decoded)):
        if not run_s or not tokens or whole.energy_j is None:
            yield _absent(phase, f"no token was counted in {phase}", SPLIT)
            continue
        value = whole.energy_j * (spent_ns / 1e9 / run_s) / tokens
        yield present(
            "energy_per_token_j", value, formula=SPLIT, scope=whole.scope, status="modelled", sample_count=tokens,
            window_ns=run_window(case), dims={"phase": phase},
        )  # fmt: skip


def _no_split(reason: str) -> Iterator[Metric]:
    for phase in ("prefill", "decode"):
        yield _absent(phase, reason, SPLIT_BY_STEPS)


def _absent(phase: str, reason: str, formula: str) -> Metric:
    return absent("energy_per_token_j", reason, formula=formula, scope="run", dims={"phase": phase})
