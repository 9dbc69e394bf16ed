"""Model FLOPs of a served run, and their share of what the device could do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from oildrop.rules.case import Case
from oildrop.rules.formulas.flops_table import SERVED_FLOPS
from oildrop.rules.measures.making import absent, present
from oildrop.rules.measures.served_devices import unlike_devices
from oildrop.rules.measures.work import peak_of
from oildrop.rules.prefix_cache import declares_cache
from oildrop.rules.records import Metric, Scalar
from oildrop.rules.served import Served

MODEL = "served_model_flops/1"


def served_work_metrics(case: Case) -> Iterator[Metric]:
    """`model_flop_per_s` and `mfu`."""
    flop_per_s = _model_flop_per_s(case)
    if isinstance(flop_per_s, str):
        yield absent("model_flop_per_s", flop_per_s, formula=MODEL, scope="run")
        yield absent("mfu", "there is no rate of model FLOPs", formula="mfu/1", scope="device")
    else:
        yield present("model_flop_per_s", flop_per_s, formula=MODEL, scope="run", status="derived")
        peak = unlike_devices(case) or peak_of(case)
        if isinstance(peak, str):
            yield absent("mfu", peak, formula="mfu/1", scope="device")
        else:
            yield present("mfu", flop_per_s / peak, formula="mfu/1", scope="device", status="derived")


def _model_flop_per_s(case: Case) -> float | str:
    served = case.served
    if served is None or not served.answered or not served.wall_ns:
        return "no request was answered"
    if declares_cache(case.evidence.spec.settings) and flops_formula_of(case) is not None:
        return "prompt tokens found in the prefix cache were not worked out again: FLOPs that were done are not known"
    flops = answered_flops(case, served)
    return flops if isinstance(flops, str) else flops / (served.wall_ns / 1e9)


def answered_flops(case: Case, served: Served, *, decoding: bool = False) -> float | str:
    """Model FLOPs of all requests that were answered, or why they are not known.

    Args:
        decoding: Only those after each answer's first token, which comes from the reading of its prompt.
    """
    flops_of, settings, table = flops_formula_of(case), case.evidence.spec.settings, served.table
    if flops_of is None:
        return "the rulebook has no FLOPs formula for this benchmark"
    alike = Counter((table.input_tokens[row], table.output_tokens[row]) for row in served.answered)
    try:
        flops = sum(count * flops_of(settings, *tokens) for tokens, count in alike.items())
        if decoding:
            prompts = Counter(table.input_tokens[row] for row in served.answered)
            flops -= sum(count * flops_of(settings, tokens, 1) for tokens, count in prompts.items())
    except (KeyError, TypeError, ValueError):
        return "the settings do not describe the model that the FLOPs formula needs"
    return flops


def flops_formula_of(case: Case) -> Callable[[Mapping[str, Scalar], int, int], float] | None:
    """FLOPs of a request of so many input and output tokens; None where the rulebook has no formula."""
    return SERVED_FLOPS.get(case.benchmark.flops_formula or "") if case.benchmark else None
