"""When a run and the one beside it were both on their clocks, as the run's own log tells it."""

from __future__ import annotations

from oildrop.rules import keys
from oildrop.rules.case import Case
from oildrop.rules.formulas.colocation import Window, overlap_ns


def overlap_of(case: Case) -> Window | str:
    """The overlap in nanoseconds since the run's start, or why there is none.

    The log of a run beside another holds, at its end, when that one's clock started and stopped. A clock that had not
    stopped by then ran on to the end of this run's.
    """
    event, timeline = case.evidence.last(keys.BESIDE), case.timeline
    if timeline.run_start_ns is None or timeline.run_stop_ns is None:
        return "the run has no run_start or no run_stop"
    if event is None or event.value != case.evidence.spec.beside_run_id:
        return "the log does not say when the clock of the run beside it ran"
    start_ns, stop_ns = event.meta.get("run_start_ns"), event.meta.get("run_stop_ns")
    if not isinstance(start_ns, int):
        return "the clock of the run beside it was never started"
    if not isinstance(stop_ns, int):
        if event.meta.get("outcome") is not None:
            return f"the run beside it ended as {event.meta['outcome']} before its clock was stopped"
        stop_ns = timeline.run_stop_ns
    both = overlap_ns((timeline.run_start_ns, timeline.run_stop_ns), (start_ns, stop_ns))
    return "both clocks never ran at the same time" if both is None else both
