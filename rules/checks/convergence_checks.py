"""Rules on how fast a run learns: samples to target against the reference convergence points, on both sides."""

from __future__ import annotations

from collections.abc import Iterator

from oildrop.rules import keys
from oildrop.rules.case import Case
from oildrop.rules.checks.registry import Broken, Judged, broken, rule
from oildrop.rules.reference import Reference, batch_in, batch_key
from oildrop.rules.reference_points import ADVICE, check_run, describe, expected_at
from oildrop.rules.rulebook import settings_of


@rule("R027")
def convergence_as_reference(judged: Judged) -> Iterator[Broken]:
    """Samples to target are what the reference predicts for one more run, both sides."""
    found = _comparable(judged)
    if found is None:
        return
    samples, batch, reference = found
    expected = expected_at(reference.points, batch)
    if expected is None:
        return
    deviation = check_run(samples, expected)
    if deviation.side is not None:
        evidence = {"batch": batch, "found": deviation.found, "expected": expected.samples, "ratio": deviation.ratio}
        yield broken(
            describe(deviation),
            ADVICE[deviation.side],
            **evidence,
            deviations=deviation.deviations,
            p_value=deviation.p_value,
            detectable_ratio=deviation.detectable,
        )


@rule("R031")
def reference_covers_batch(judged: Judged) -> Iterator[Broken]:
    """The batch size lies within those of the reference points."""
    found = _comparable(judged)
    if found is None:
        return
    _, batch, reference = found
    if expected_at(reference.points, batch) is None:
        covered = [point.batch for point in reference.points]
        reach = f"points cover {covered[0]} to {covered[-1]}" if len(covered) > 1 else f"the only point is {covered[0]}"
        yield broken(
            f"no reference for batch {batch}; {reach}: nothing is said of this run's convergence",
            "judge its convergence against runs of the same batch size, or make reference runs at it",
            batch=batch,
            covered=covered,
        )


def _comparable(judged: Judged) -> tuple[float, int, Reference] | None:
    """Samples to target, batch size and reference of a run that could be compared; None for any other."""
    case, spec, metric = judged.case, judged.case.evidence.spec, judged.metrics.get("samples_to_target")
    reference = case.rulebook.reference_of(spec.benchmark, spec.tier)
    batch = _batch(case)
    if reference is None or batch is None or metric is None or metric.value is None or not _same_lesson(case):
        return None
    return float(metric.value), batch, reference


def _batch(case: Case) -> int | None:
    """Samples a step: as logged, else as set; None where neither says."""
    event = case.evidence.last(keys.GLOBAL_BATCH_SIZE)
    logged = event.value if event is not None else None
    if isinstance(logged, int) and not isinstance(logged, bool) and logged > 0:
        return logged
    return batch_in(case.evidence.spec.settings)


def _same_lesson(case: Case) -> bool:
    """Whether only the batch size, limits and what closed frees differ from the tier's own settings."""
    if case.benchmark is None or case.tier is None:
        return False
    own, given = settings_of(case.tier), case.evidence.spec.settings
    differing = {key for key in {*own, *given} if own.get(key) != given.get(key)}
    return all(
        key == batch_key(own) or key.startswith("limit.") or case.benchmark.is_free_in_closed(key) for key in differing
    )
