"""Model FLOPs and bytes of a served run, and their share of what the device could do."""

from __future__ import annotations

from collections.abc import Iterator

from oildrop.rules import keys
from oildrop.rules.case import Case
from oildrop.rules.formulas.flops_table import SERVED_FLOPS
from oildrop.rules.measures.making import absent, present
from oildrop.rules.measures.served_devices import unlike_devices
from oildrop.rules.measures.served_phases import Phase, engine_phases
from oildrop.rules.measures.work import peak_of
from oildrop.rules.prefix_cache import declares_cache
from oildrop.rules.records import Metric

MODEL = "served_model_flops/1"
MBU = "decode_mbu/1"
MBU_BY_STEPS = "decode_mbu/2"
CACHE_FACTOR = 4
"""A working set under so many times the last-level cache may be read from there, and no bandwidth is measured."""


def served_work_metrics(case: Case) -> Iterator[Metric]:
    """`model_flop_per_s`, `mfu`, `decode_read_bytes_per_s`, `mbu`."""
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
    yield from _decode_metrics(case)


def _decode_metrics(case: Case) -> Iterator[Metric]:
    """`decode_read_bytes_per_s`, and `mbu`: its share of the measured read bandwidth."""
    phases = engine_phases(case)
    decode = None if isinstance(phases, str) else phases["decode"]
    formula, read_formula = (MBU, "decode_read/1") if decode is None else (MBU_BY_STEPS, "decode_read/2")
    read = _decode_bytes_per_s(case, decode)
    bandwidth = _read_bandwidth(case)
    if isinstance(read, str):
        yield absent("decode_read_bytes_per_s", read, formula=read_formula, scope="device")
        yield absent("mbu", read, formula=formula, scope="device")
        return
    yield present("decode_read_bytes_per_s", read, formula=read_formula, scope="device", status="derived")
    if isinstance(bandwidth, str):
        yield absent("mbu", bandwidth, formula=formula, scope="device")
    else:
        yield present("mbu", read / bandwidth, formula=formula, scope="device", status="derived")


def _model_flop_per_s(case: Case) -> float | str:
    served = case.served
    if served is None or not served.answered or not served.wall_ns:
        return "no request was answered"
    flops_of = SERVED_FLOPS.get(case.benchmark.flops_formula or "") if case.benchmark else None
    if flops_of is None:
        return "the rulebook has no FLOPs formula for this benchmark"
    table, settings = served.table, case.evidence.spec.settings
    if declares_cache(settings):
        return "prompt tokens found in the prefix cache were not worked out again: FLOPs that were done are not known"
    try:
        flops = sum(flops_of(settings, table.input_tokens[row], table.output_tokens[row]) for row in served.answered)
    except (KeyError, TypeError, ValueError):
        return "the settings do not describe the model that the FLOPs formula needs"
    return flops / (served.wall_ns / 1e9)


def _read_bandwidth(case: Case) -> float | str:
    """Bytes a second at which the run read its memory before the clock, or why that is not known."""
    event = case.evidence.last(keys.SERVE)
    meta = {} if event is None else event.meta
    bandwidth = _number(meta.get("read_bandwidth_bytes_per_s"))
    if bandwidth is not None and bandwidth > 0:
        return bandwidth
    whose = "this machine's" if case.evidence.spec.backend.endswith("-cpu") else "the accelerator's"
    return str(meta.get("read_bandwidth_reason") or f"{whose} read bandwidth has not been measured")


def _decode_bytes_per_s(case: Case, decode: Phase | None) -> float | str:
    """Bytes that decoding must read a second, or why that is not known.

    Each step reads all weights, and of each request in it the cache of the tokens before: over the time in steps that
    decode. Where the log does not part these (`decode` is None), one request is served at a time, and it is the time
    from its first to its last token.
    """
    served, event = case.served, case.evidence.last(keys.SERVE)
    if served is None or event is None or not served.answered:
        return "no request was answered"
    if not served.has_tokens:
        return "answers of this benchmark come whole: nothing is decoded"
    if decode is None and case.evidence.spec.scenario != "single-stream":
        return "requests share decode steps in this scenario; single-stream shows the bandwidth of one"
    names = ("weight_bytes", "cache_bytes_per_token", "last_level_cache_bytes")
    weights, cache, last_level = (_number(event.meta.get(name)) for name in names)
    if weights is None or cache is None:
        return "the log does not say how many bytes a decode step reads"
    on_processor = case.evidence.spec.backend.endswith("-cpu")  # an accelerator's weights are in a memory of its own
    if on_processor and last_level is not None and weights < CACHE_FACTOR * last_level:
        return (
            f"the weights ({weights / 2**20:.1f} MiB) are under {CACHE_FACTOR} times the last-level cache "
            f"({last_level / 2**20:.1f} MiB), from which they may be read"
        )
    if case.evidence.spec.settings.get("execution.draft"):
        return "steps of a draft and of what it proposes to read other bytes than one token a request"
    steps_of_all = cache_bytes = spent_ns = 0.0
    depth = int(case.evidence.spec.settings.get("requests.depth_tokens", 0))
    for row in served.answered:
        steps, (first, last) = served.table.output_tokens[row] - 1, served.spans_ns[row] or (0, 0)
        mean_context = depth + served.table.input_tokens[row] + (steps + 1) / 2
        steps_of_all += steps
        cache_bytes += steps * cache * mean_context
        spent_ns += last - first
    if decode is not None:
        steps_of_all, spent_ns = decode.steps, decode.ns
    if not spent_ns > 0:
        return "no time lies between the tokens"
    return (steps_of_all * weights + cache_bytes) / (spent_ns / 1e9)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
