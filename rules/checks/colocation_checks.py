"""Rules on runs that share their device on purpose."""

from __future__ import annotations

from collections.abc import Iterator

from oildrop.rules.checks.registry import Broken, Judged, broken, rule
from oildrop.rules.formulas.colocation import inside
from oildrop.rules.overlap import overlap_of

LEAST_OVERLAP_S = 5.0


@rule("R070")
def overlaps_long_enough(judged: Judged) -> Iterator[Broken]:
    """Both clocks ran at once for 5 s, and some work of this run lies wholly in that time."""
    case = judged.case
    if case.evidence.spec.beside_run_id is None or not judged.ended_itself:
        return
    longer = "make both runs longer (a larger tier, or settings with more work), or choose two of like length"
    window = overlap_of(case)
    if isinstance(window, str):
        yield broken(f"there is no overlap with run {case.evidence.spec.beside_run_id}: {window}", longer, overlap_s=0)
        return
    overlap_s = (window[1] - window[0]) / 1e9
    if overlap_s < LEAST_OVERLAP_S:
        message = f"both clocks ran at once for {overlap_s:.2f} s; at least {LEAST_OVERLAP_S:g} s are wanted"
        yield broken(message, longer, overlap_s=overlap_s)
    elif not any(inside(each, window) for each in _work(judged)):
        message = f"no block of steps and no request of this run lies wholly in the {overlap_s:.2f} s of overlap"
        yield broken(message, longer, overlap_s=overlap_s)


def _work(judged: Judged) -> Iterator[tuple[int, int]]:
    """Windows of the run's blocks, or of its requests from the scheduled time to the last token."""
    case, served = judged.case, judged.case.served
    if served is None:
        yield from ((block.start_ns, block.stop_ns) for block in case.timeline.blocks)
        return
    start_ns = case.timeline.run_start_ns or 0
    for due_ns, span in zip(served.table.scheduled_ns, served.spans_ns, strict=True):
        if span is not None:
            yield start_ns + due_ns, start_ns + span[1]
