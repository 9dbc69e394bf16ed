"""Rates over the timed blocks, set-up and compile times, the harness's own share."""

from __future__ import annotations

from collections.abc import Iterator

from oildrop.rules import keys
from oildrop.rules.case import Case
from oildrop.rules.formulas.throughput import rate, rate_half_width
from oildrop.rules.measures.making import absent, present
from oildrop.rules.records import Metric

NO_BLOCK = "no training block was completed"


def rate_metrics(case: Case) -> Iterator[Metric]:
    """`train_tokens_per_s` and `train_samples_per_s`: all work over the time of all blocks."""
    blocks = case.timeline.blocks
    durations = [block.duration_s for block in blocks]
    for name, amounts in (
        ("train_tokens_per_s", [float(block.tokens) for block in blocks]),
        ("train_samples_per_s", [float(block.samples) for block in blocks]),
    ):
        if not blocks or sum(durations) <= 0:
            yield absent(name, NO_BLOCK, formula="throughput/1", scope="run")
            continue
        yield present(
            name,
            rate(amounts, durations),
            formula="throughput/1",
            scope="run",
            uncertainty=rate_half_width(amounts, durations),
            sample_count=len(blocks),
            window_ns=(blocks[0].start_ns, blocks[-1].stop_ns),
        )


def eval_metric(case: Case) -> Metric:
    """`eval_fraction`."""
    run_s, marks, formula = case.timeline.run_s, case.timeline.evaluations, "eval_fraction/1"
    if not run_s or not marks:
        return absent("eval_fraction", "the run has no run_stop or no evaluation", formula=formula, scope="run")
    spent_s = sum(mark.stop_ns - mark.start_ns for mark in marks) / 1e9
    return present("eval_fraction", spent_s / run_s, formula=formula, scope="run", sample_count=len(marks))


def setup_metrics(case: Case) -> Iterator[Metric]:
    """`setup_s`, `compile_s`."""
    timeline = case.timeline
    begin = case.evidence.first(keys.INIT_START)
    if begin is not None and timeline.run_start_ns is not None:
        setup_s = (timeline.run_start_ns - begin.t_ns) / 1e9
        yield present("setup_s", setup_s, formula="setup/1", scope="run", window_ns=(begin.t_ns, timeline.run_start_ns))
    else:
        yield absent("setup_s", "the clock was never started", formula="setup/1", scope="run")
    spans = [span for span in timeline.phases if span.name == "compile"]
    if spans and timeline.phases[-1].name != "compile":
        span = spans[0]
        compile_s = (span.stop_ns - span.start_ns) / 1e9
        yield present("compile_s", compile_s, formula="compile/1", scope="run", window_ns=(span.start_ns, span.stop_ns))
    else:
        yield absent("compile_s", "the compile phase was not completed", formula="compile/1", scope="run")


def overhead_metric(case: Case) -> Metric:
    """`harness_overhead_fraction`: calibrated cost of all steps and the supervisor's time, over the run."""
    formula = "harness_overhead/1"
    event, run_s = case.evidence.last(keys.OVERHEAD), case.timeline.run_s
    if event is None or run_s is None or not isinstance(event.value, float):
        reason = "the run has no run_stop" if run_s is None else "the log holds no calibrated cost a step"
        return absent("harness_overhead_fraction", reason, formula=formula, scope="node")
    supervisor_s = event.meta.get("supervisor_cpu_s")
    if not isinstance(supervisor_s, float) or run_s <= 0:
        return absent("harness_overhead_fraction", "the supervisor's time was not kept", formula=formula, scope="node")
    steps = _steps(case)
    share = (event.value * steps + supervisor_s) / run_s
    return present(
        "harness_overhead_fraction", share, formula=formula, scope="node", status="derived", sample_count=steps
    )


def _steps(case: Case) -> int:
    """Of training, or of a served model; a server elsewhere tells of none, and each request counts as one."""
    if case.served is None:
        return sum(block.steps for block in case.timeline.blocks)
    event = case.evidence.last(keys.SERVED)
    steps = event.meta.get("steps") if event is not None else None
    return steps if isinstance(steps, int) else case.served.count
