"""Time, samples and quality at the target."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from oildrop.rules.case import Case
from oildrop.rules.formulas.quality import accuracy
from oildrop.rules.formulas.time_to_target import between, crossing_fraction
from oildrop.rules.measures.making import absent, present
from oildrop.rules.outcomes import Verdict
from oildrop.rules.records import Metric

FORMULAS = {
    "time_to_target_s": "time_to_target/1",
    "time_to_target_raw_s": "time_to_target_raw/1",
    "samples_to_target": "samples_to_target/1",
}


def target_metrics(case: Case, verdict: Verdict) -> Iterator[Metric]:
    """`time_to_target_s`, `time_to_target_raw_s`, `samples_to_target`; null unless the target was met."""
    missing = _why_no_time(case, verdict)
    if missing is not None:
        for name, formula in FORMULAS.items():
            yield absent(name, missing[1], formula=formula, scope="run", status=missing[0])
        return
    timeline, index = case.timeline, case.meeting
    assert index is not None and timeline.run_start_ns is not None
    start_ns, met = timeline.run_start_ns, timeline.evaluations[index]
    raw_s = (met.stop_ns - start_ns) / 1e9
    time_s, samples = raw_s, float(met.samples)
    if index > 0:
        before = timeline.evaluations[index - 1]
        assert case.target is not None
        fraction = crossing_fraction(before.quality, met.quality, case.target)
        time_s = between((before.stop_ns - start_ns) / 1e9, raw_s, fraction)
        samples = between(before.samples, met.samples, fraction)
    window = (start_ns, met.stop_ns)
    yield present("time_to_target_s", time_s, formula="time_to_target/1", scope="run", sample_count=1, window_ns=window)
    yield present(
        "time_to_target_raw_s", raw_s, formula="time_to_target_raw/1", scope="run", sample_count=1, window_ns=window
    )
    yield present(
        "samples_to_target", samples, formula="samples_to_target/1", scope="run", status="derived", window_ns=window
    )


def _why_no_time(case: Case, verdict: Verdict) -> tuple[Literal["not_measured", "not_applicable"], str] | None:
    if case.target is None and case.tier is not None:
        return "not_applicable", "fixed work has no target"
    if verdict.outcome != "ok":
        return "not_measured", f"the target was not reached: {verdict.outcome}"
    if case.timeline.run_start_ns is None or case.meeting is None:
        return "not_measured", "the log has no run_start or no evaluation that met the target"
    return None


def quality_metrics(case: Case) -> Iterator[Metric]:
    """`final_quality` and `final_accuracy`, recomputed from the kept documents of the last evaluation."""
    formula = f"{case.benchmark.quality.metric}/1" if case.benchmark else "quality/1"
    marks = case.timeline.evaluations
    table = case.kept.get(marks[-1].samples) if marks else None
    if table is None or case.final_quality is None:
        reason = (
            "no evaluation was made" if not marks else "no finite per-document losses of the last evaluation were kept"
        )
        yield absent("final_quality", reason, formula=formula, scope="run")
        yield absent("final_accuracy", reason, formula="accuracy/1", scope="run")
        return
    documents = len(table.loss_nats)
    right = accuracy(table.correct_count, table.token_count)
    yield present("final_quality", case.final_quality, formula=formula, scope="run", sample_count=documents)
    yield present("final_accuracy", right, formula="accuracy/1", scope="run", sample_count=sum(table.token_count))
