"""Bytes that a served model must read: their rate while decoding, and the model FLOPs for each of them."""

from __future__ import annotations

from collections.abc import Iterator

from oildrop.rules import keys
from oildrop.rules.case import Case
from oildrop.rules.measures.making import absent, present
from oildrop.rules.measures.served_phases import Phase, engine_phases
from oildrop.rules.measures.served_work import answered_flops
from oildrop.rules.records import Metric

MBU = "decode_mbu/1"
MBU_BY_STEPS = "decode_mbu/2"
INTENSITY = "arithmetic_intensity_flop_per_byte"
DECODE_INTENSITY = "decode_intensity/1"
ONE_PASS_INTENSITY = "one_pass_intensity/1"
CACHE_FACTOR = 4
"""A working set under so many times the last-level cache may be read from there, and no bandwidth is measured."""


def served_traffic_metrics(case: Case) -> Iterator[Metric]:
    """`decode_read_bytes_per_s`; `mbu`, its share of the measured read bandwidth; and the arithmetic intensity."""
    phases = engine_phases(case)
    decode = None if isinstance(phases, str) else phases["decode"]
    formula, read_formula = (MBU, "decode_read/1") if decode is None else (MBU_BY_STEPS, "decode_read/2")
    read = _decode_read(case, decode)
    if isinstance(read, str):
        yield absent("decode_read_bytes_per_s", read, formula=read_formula, scope="device")
        yield absent("mbu", read, formula=formula, scope="device")
    else:
        rate, bandwidth = read[0] / read[1], _read_bandwidth(case)
        yield present("decode_read_bytes_per_s", rate, formula=read_formula, scope="device", status="derived")
        if isinstance(bandwidth, str):
            yield absent("mbu", bandwidth, formula=formula, scope="device")
        else:
            yield present("mbu", rate / bandwidth, formula=formula, scope="device", status="derived")
    yield _intensity(case, read if isinstance(read, str) else read[0])


def _intensity(case: Case, decode_bytes: float | str) -> Metric:
    """Of decoding alone, as far as it is known what that must read; of answers that come whole, of all of them."""
    served = case.served
    whole = served is not None and bool(served.answered) and not served.has_tokens
    formula = ONE_PASS_INTENSITY if whole else DECODE_INTENSITY
    read_bytes = _one_pass_bytes(case) if whole else decode_bytes
    if isinstance(read_bytes, str) or served is None:
        return absent(INTENSITY, str(read_bytes), formula=formula, scope="device")
    flops = answered_flops(case, served, decoding=not whole)
    if isinstance(flops, str):
        return absent(INTENSITY, flops, formula=formula, scope="device")
    return present(INTENSITY, flops / read_bytes, formula=formula, scope="device", status="modelled")


def _one_pass_bytes(case: Case) -> float | str:
    """Bytes of weights that all batches must read, each step of the engine being one; or why that is not known.

    Requests, answers, and what passes between layers are left out, as they may stay in caches; so true traffic is more.
    """
    serve, served = case.evidence.last(keys.SERVE), case.evidence.last(keys.SERVED)
    weights = None if serve is None else _number(serve.meta.get("weight_bytes"))
    steps = None if served is None else _number(served.meta.get("steps"))
    if not weights or not steps:
        return "the log does not say how many batches there were and how many bytes of weights each read"
    return steps * weights


def _read_bandwidth(case: Case) -> float | str:
    """Bytes a second at which the run read its memory before the clock, or why that is not known."""
    event = case.evidence.last(keys.SERVE)
    meta = {} if event is None else event.meta
    bandwidth = _number(meta.get("read_bandwidth_bytes_per_s"))
    if bandwidth is not None and bandwidth > 0:
        return bandwidth
    whose = "this machine's" if case.evidence.spec.backend.endswith("-cpu") else "the accelerator's"
    return str(meta.get("read_bandwidth_reason") or f"{whose} read bandwidth has not been measured")


def _decode_read(case: Case, decode: Phase | None) -> tuple[float, float] | str:
    """Bytes that decoding must read, and in how many seconds; or why that is not known.

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
    return steps_of_all * weights + cache_bytes, spent_ns / 1e9


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
