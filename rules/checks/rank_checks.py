"""Rules on the ranks of a run: they did the same work, and none had to be started again."""

from __future__ import annotations

from collections.abc import Iterator

from oildrop.rules import keys
from oildrop.rules.checks.registry import Broken, Judged, broken, rule
from oildrop.rules.events import Event
from oildrop.rules.evidence import Evidence

WHAT = {
    keys.BENCHMARK_SHA256: "benchmark file",
    keys.WEIGHTS_SHA256: "weights",
    keys.BATCH_SHA256: "batches",
}
FIX = "install the same oildrop on every node, and start the run again"


@rule("R032")
def ranks_agree(judged: Judged) -> Iterator[Broken]:
    """Equal hashes of benchmark file, weights and batches on every rank."""
    evidence = judged.case.evidence
    for key, what in WHAT.items():
        firsts: dict[str, Event] = {}
        for event in evidence.all(key):
            when = _when(event)
            first = firsts.setdefault(when, event)
            if event.value != first.value:
                message = (
                    f"{event.proc} has other {what}{when} than {first.proc}: "
                    f"{str(event.value)[:12]}, not {str(first.value)[:12]}"
                )
                yield broken(message, FIX, key=key, procs=[first.proc, event.proc])
                break
    if judged.ended_itself:
        yield from _silent(evidence)


@rule("R033")
def not_restarted(judged: Judged) -> Iterator[Broken]:
    """The ranks were started once."""
    restarts = judged.case.timeline.restarts
    if restarts:
        last = restarts[-1]
        lost = sum(restart.lost_samples for restart in restarts)
        times = "once" if len(restarts) == 1 else f"{len(restarts)} times"
        message = f"the ranks were restarted {times}, {lost} samples were trained again; last: {last.reason}"
        yield broken(
            message,
            "nothing to do; the lost time is in the time to target",
            restarts=len(restarts),
            lost_samples=lost,
            ranks=[restart.rank for restart in restarts],
        )


def _when(event: Event) -> str:
    """At which point of the run, in words: hashes of one point are compared."""
    if event.key == keys.WEIGHTS_SHA256:
        return f" at {event.meta.get('when')}"
    return f" after {event.meta.get('batches')}" if event.key == keys.BATCH_SHA256 else ""


def _silent(evidence: Evidence) -> Iterator[Broken]:
    """Ranks beside the first that never said what they worked on."""
    ranks = {str(event.value) for event in evidence.all(keys.PROCESS) if event.meta.get("role", "worker") == "worker"}
    if len(ranks) < 2:
        return
    for key, what in WHAT.items():
        missing = sorted(ranks - {event.proc for event in evidence.all(key)})
        if missing:
            yield broken(f"{', '.join(missing)} logged no hash of its {what}", FIX, key=key, procs=missing)
