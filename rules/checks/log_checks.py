"""Rules on the log itself: marks, chain, stamps, receipts."""

from __future__ import annotations

from collections.abc import Iterator

from oildrop.rules import keys
from oildrop.rules.checks.registry import Broken, Judged, broken, rule
from oildrop.rules.events import Event

RECEIPT_LIMIT_NS = 5_000_000_000
TIMING_MARKS = frozenset({keys.RUN_START, keys.RUN_STOP, keys.EVAL_STOP})
REPEAT = "repeat the run; if it happens again, report it with the bundle"
RECEIVE = "get the bundle again from where it came"


@rule("R001")
def one_start_one_stop(judged: Judged) -> Iterator[Broken]:
    """run_start and run_stop once each, in this order."""
    evidence, timeline = judged.case.evidence, judged.case.timeline
    counts = {key: len(evidence.all(key)) for key in (keys.RUN_START, keys.RUN_STOP)}
    for key, count in counts.items():
        if count > 1 or (count == 0 and judged.ended_itself):
            yield broken(f"{key} is logged {count} times, expected once", REPEAT, **{key: count})
    if timeline.run_s is not None and timeline.run_s <= 0:
        yield broken(f"run_stop comes {-timeline.run_s:g} s before run_start", REPEAT, run_s=timeline.run_s)


@rule("R002")
def bundle_is_whole(judged: Judged) -> Iterator[Broken]:
    """No file changed, missing or added; no line dropped or moved."""
    for problem in judged.case.evidence.problems:
        yield broken(problem.message, RECEIVE, file=problem.file)


@rule("R003")
def events_are_readable(judged: Judged) -> Iterator[Broken]:
    """Marks, blocks and evaluations carry numbers."""
    for sentence in judged.case.timeline.malformed:
        yield broken(sentence, REPEAT)


@rule("R011")
def claim_agrees(judged: Judged) -> Iterator[Broken]:
    """The claimed outcome is the derived one."""
    last_words = judged.case.evidence.last(keys.OUTCOME)
    derived = judged.verdict.outcome
    if last_words is not None and last_words.value not in (derived, "invalid"):
        message = f"the log claims {last_words.value}; its evidence says {derived}"
        yield broken(message, "the evidence counts; nothing to do", claimed=last_words.value, derived=derived)


@rule("R012")
def machine_stayed_awake(judged: Judged) -> Iterator[Broken]:
    """No suspend between run_start and run_stop."""
    start_ns, stop_ns = judged.case.timeline.run_start_ns, judged.case.timeline.run_stop_ns
    for event in judged.case.evidence.all(keys.CLOCK):
        inside = (
            start_ns is not None and event.t_ns >= start_ns and (stop_ns is None or event.t_ns <= stop_ns + 2 * 10**9)
        )
        if event.value == "suspend" and inside:
            by_s = event.meta.get("by_s")
            yield broken(
                f"the machine slept for {by_s} s during the run", "keep it awake and repeat the run", by_s=by_s
            )


@rule("R029")
def wall_clock_left_alone(judged: Judged) -> Iterator[Broken]:
    """The wall clock was not set."""
    for event in judged.case.evidence.all(keys.CLOCK):
        if event.value in ("set_back", "set_forward"):
            by_s = event.meta.get("by_s")
            way = "back" if event.value == "set_back" else "forward"
            message = f"the wall clock was set {way} by {by_s} s"
            yield broken(message, "durations hold; let the clock be slewed (chrony, ntpd), not stepped", by_s=by_s)


@rule("R013")
def stamps_go_forward(judged: Judged) -> Iterator[Broken]:
    """Within one process no stamp goes back."""
    newest: dict[str, Event] = {}
    for event in judged.case.evidence.events:
        if event.key == keys.HEARTBEAT:
            continue
        before = newest.get(event.proc)
        if before is not None and event.t_ns < before.t_ns:
            back_s = (before.t_ns - event.t_ns) / 1e9
            message = f"{event.key} (seq {event.seq}) is stamped {back_s:g} s before {before.key} (seq {before.seq})"
            yield broken(message, REPEAT, seq=event.seq, back_s=back_s)
            return
        newest[event.proc] = event


@rule("R014")
def stamps_agree_with_receipts(judged: Judged) -> Iterator[Broken]:
    """No stamp later than its receipt; timing marks received soon after."""
    for event in judged.case.evidence.events:
        received_ns = event.meta.get("received_ns")
        if not isinstance(received_ns, int):
            continue
        late_ns = received_ns - event.t_ns
        if late_ns < 0:
            message = f"{event.key} (seq {event.seq}) is stamped {-late_ns / 1e9:g} s after it was received"
            yield broken(message, REPEAT, seq=event.seq, late_s=late_ns / 1e9)
        elif event.key in TIMING_MARKS and late_ns > RECEIPT_LIMIT_NS:
            message = f"{event.key} (seq {event.seq}) was received {late_ns / 1e9:.1f} s after its stamp; at most 5 s"
            yield broken(message, REPEAT, seq=event.seq, late_s=late_ns / 1e9)


@rule("R024")
def bundle_is_sealed(judged: Judged) -> Iterator[Broken]:
    """A run that has ended is sealed."""
    if not judged.case.evidence.sealed and judged.verdict.outcome != "started":
        message = "the bundle is not sealed; it was judged up to its last whole line"
        clipped = judged.case.evidence.clipped_bytes
        yield broken(message, "nothing to do if the supervisor was killed; else see output.log", clipped_bytes=clipped)
