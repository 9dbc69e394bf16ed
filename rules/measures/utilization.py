"""What parts of a device did, what memory holds by formula, and what the step waited for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from oildrop.rules import keys
from oildrop.rules.case import Case
from oildrop.rules.formulas.flops_table import FLOPS_PER_TOKEN, TOKENS_PER_SAMPLE
from oildrop.rules.formulas.train_step import TRAIN_STEP, Model, TrainStep
from oildrop.rules.measures.devices import devices_of
from oildrop.rules.measures.making import absent, present
from oildrop.rules.records import Metric
from oildrop.rules.reference import batch_in

COUNTERS = ("sm_active_fraction", "tensor_active_fraction", "dram_bandwidth_fraction")
COUNTED = "device_counter/1"
MEMORY, SERVED_MEMORY = "decoder_memory/1", "served_memory/1"
NO_MEMORY = "the rulebook has no formula of memory for this benchmark"


def counter_metrics(case: Case) -> Iterator[Metric]:
    """Means of a device's own counters while the clock ran."""
    start_ns, stop_ns = case.timeline.run_start_ns, case.timeline.run_stop_ns
    for name in COUNTERS:
        if case.evidence.spec.backend.endswith("-cpu"):
            reason = "the device is a processor, which has no such counter"
            yield absent(name, reason, formula=COUNTED, scope="device", status="not_applicable")
        elif start_ns is None or stop_ns is None:
            yield absent(name, "the run has no run_start or no run_stop", formula=COUNTED, scope="device")
        else:
            yield _counter(case, name, (start_ns, stop_ns))


def _counter(case: Case, name: str, window_ns: tuple[int, int]) -> Metric:
    means, count = [], 0
    for series in case.evidence.series:
        if series.quantity != name:
            continue
        pairs = zip(series.t_ns, series.values, strict=True)
        inside = [value for t, value in pairs if window_ns[0] <= t <= window_ns[1]]
        if inside:
            means.append(sum(inside) / len(inside))
            count += len(inside)
    if not means:
        return absent(name, "no meter of this machine reads it", formula=COUNTED, scope="device")
    mean = sum(means) / len(means)
    return present(name, mean, formula=COUNTED, scope="device", sample_count=count, window_ns=window_ns)


def train_memory_metrics(case: Case) -> Iterator[Metric]:
    """`memory_modelled_bytes` of a training, whole and by kind, and the step's arithmetic intensity."""
    intensity, formula = "arithmetic_intensity_flop_per_byte", "arithmetic_intensity/1"
    flops_formula = (case.benchmark.flops_formula if case.benchmark else None) or ""
    memory_formula, model = TRAIN_STEP.get(flops_formula, (MEMORY, None))
    found = NO_MEMORY if model is None else _train_step(case, model)
    if isinstance(found, str):
        yield absent("memory_modelled_bytes", found, formula=memory_formula, scope="device")
        yield absent(intensity, found, formula=formula, scope="device")
        return
    step, samples = found
    yield from _kinds(step.memory.total, asdict(step.memory), memory_formula)
    settings = case.evidence.spec.settings
    per_sample = FLOPS_PER_TOKEN[flops_formula](settings) * TOKENS_PER_SAMPLE[flops_formula](settings)
    value = per_sample * samples / step.moved_bytes
    yield present(intensity, value, formula=formula, scope="device", status="modelled")


def _train_step(case: Case, model: Model) -> tuple[TrainStep, int] | str:
    """A step on one device and its samples, or why they are not known."""
    settings = case.evidence.spec.settings
    batch = batch_in(settings)
    if batch is None:
        return NO_MEMORY
    try:
        devices = devices_of(case)
        samples, dtype = batch // devices, str(settings["execution.dtype"])
        shards = devices if settings.get("execution.sharding") == "sharded" else 1
        return model(settings, samples, dtype, shards), samples
    except (KeyError, TypeError, ValueError):
        return "the settings do not describe the model that the formula of memory needs"


def served_memory_metrics(case: Case) -> Iterator[Metric]:
    """`memory_modelled_bytes` of a served model: its weights, and the cache of all slots filled to their ends."""
    event = case.evidence.last(keys.SERVE)
    settings = case.evidence.spec.settings
    names = ("requests.prompt_tokens_max", "requests.output_tokens_max", "execution.slots")
    prompt, output, slots = (settings.get(name) for name in names)
    weights, cache = (
        None if event is None else event.meta.get(name) for name in ("weight_bytes", "cache_bytes_per_token")
    )
    if not isinstance(weights, int) or not isinstance(cache, int):
        reason = "the log does not say how many bytes its weights and cache have"
        yield absent("memory_modelled_bytes", reason, formula=SERVED_MEMORY, scope="device")
    elif isinstance(prompt, int) and isinstance(output, int) and isinstance(slots, int):
        depth = settings.get("requests.depth_tokens", 0)
        longest = (depth if isinstance(depth, int) else 0) + prompt + output
        kinds = {"weights": weights, "cache": cache * longest * slots}
        yield from _kinds(sum(kinds.values()), kinds, SERVED_MEMORY)
    else:
        yield from _kinds(weights, {"weights": weights}, SERVED_MEMORY)


def _kinds(total: int, kinds: dict[str, int], formula: str) -> Iterator[Metric]:
    name = "memory_modelled_bytes"
    yield present(name, total, formula=formula, scope="device", status="modelled")
    for kind, size in kinds.items():
        if not size:  # as copies for products of a run in fp32: there are none, and nothing is to be told of them
            continue
        yield present(name, size, formula=formula, scope="device", status="modelled", dims={"kind": kind})


def waiting_metrics(case: Case) -> Iterator[Metric]:
    """`host_bound_fraction` and `data_loading_fraction`, from what the blocks logged of their own time."""
    blocks = case.timeline.blocks
    spent_ns = sum(block.stop_ns - block.start_ns for block in blocks)
    handed = [block.enqueue_ns for block in blocks if block.enqueue_ns is not None]
    made = [block.batch_ns for block in blocks if block.batch_ns is not None]
    host, data, scope = "host_bound_fraction", "data_loading_fraction", "process"
    if case.evidence.spec.backend.endswith("-cpu"):
        reason = "the processor that hands over the work does it: no accelerator waits"
        yield absent(host, reason, formula="host_bound/1", scope=scope, status="not_applicable")
    elif not blocks or len(handed) != len(blocks) or not spent_ns:
        reason = "the log does not say when the host had handed over each block's steps"
        yield absent(host, reason, formula="host_bound/1", scope=scope)
    else:
        share = sum(handed) / spent_ns
        yield present(host, share, formula="host_bound/1", scope=scope, sample_count=len(blocks))
    if not blocks or len(made) != len(blocks) or not spent_ns:
        reason = "the log does not say how long batches took to make"
        yield absent(data, reason, formula="data_loading/1", scope=scope)
    else:
        share = sum(made) / spent_ns
        yield present(data, share, formula="data_loading/1", scope=scope, sample_count=len(blocks))
