"""Model FLOPs a second, and their share of the device's dense peak."""

from __future__ import annotations

from collections.abc import Iterator

from oildrop.rules.case import Case
from oildrop.rules.formulas.flops_table import FLOPS_PER_TOKEN
from oildrop.rules.measures.devices import devices_of
from oildrop.rules.measures.making import absent, present
from oildrop.rules.peaks import device_model, part_of, stated_flop_per_s
from oildrop.rules.records import Metric

MODEL = "model_flops/1"


def work_metrics(case: Case) -> Iterator[Metric]:
    """`model_flop_per_s`, `mfu`, `hfu`, `mbu`."""
    flop_per_s = _model_flop_per_s(case)
    if flop_per_s is None:
        reason = "no training block was completed, or the rulebook has no FLOPs formula for this benchmark"
        yield absent("model_flop_per_s", reason, formula=MODEL, scope="run")
    else:
        count = len(case.timeline.blocks)
        yield present("model_flop_per_s", flop_per_s, formula=MODEL, scope="run", status="derived", sample_count=count)
    peak = peak_of(case)
    for name, formula in (("mfu", "mfu/1"), ("hfu", "hfu/1")):
        if flop_per_s is None:
            yield absent(name, "there is no rate of model FLOPs", formula=formula, scope="device")
        elif isinstance(peak, str):
            yield absent(name, peak, formula=formula, scope="device")
        else:
            # No workload of this rulebook recomputes activations: hardware FLOPs are the model's.
            yield present(name, flop_per_s / peak, formula=formula, scope="device", status="derived")
    reason = "this machine's read bandwidth has not been measured"
    yield absent("mbu", reason, formula="mbu/1", scope="device")


def _model_flop_per_s(case: Case) -> float | None:
    blocks, block_s = case.timeline.blocks, case.timeline.block_s
    if case.benchmark is None or not blocks or block_s <= 0:
        return None
    per_token = FLOPS_PER_TOKEN.get(case.benchmark.flops_formula or "")
    if per_token is None:
        return None
    try:
        flops = per_token(case.evidence.spec.settings)
    except (KeyError, TypeError, ValueError):
        return None
    return flops * sum(block.tokens for block in blocks) / block_s


def peak_of(case: Case) -> float | str:
    """Dense peak in FLOP/s, at the declared dtype, of all devices that the run uses; or why it is not known.

    A processor is held against the cores that this machine has, be they part of a socket or of several.
    """
    system, backend = case.evidence.system, case.evidence.spec.backend
    model, part = device_model(system, backend), part_of(system, backend, case.rulebook)
    if model is None:
        return "system.json does not name the device"
    if part is None:
        return f"devices.toml lists no dense peak for {model}"
    dtype = str(case.evidence.spec.settings.get("execution.dtype"))
    if dtype not in part.peak_flop_per_s:
        return f"devices.toml lists no {dtype} peak for {model}"
    peak = stated_flop_per_s(part, system, dtype)
    if peak is None:
        return f"system.json does not say how many cores of {model} there are"
    return peak if part.cores is not None else peak * devices_of(case)
