"""The outcome of a run, derived from its evidence; the log's own outcome is only a claim."""

from __future__ import annotations

import math

from oildrop.rules import keys
from oildrop.rules.case import Case
from oildrop.rules.events import Event
from oildrop.rules.formulas.ceilings import CEILING_METRICS
from oildrop.rules.outcomes import MEANINGS, Verdict
from oildrop.rules.verdict_served import served_ending

LIMIT_OUTCOMES = {"deadline": "timeout", "heartbeat": "timeout", "stall": "timeout", "memory": "oom"}


def derive(case: Case) -> Verdict:
    """What happened, in the order in which evidence weighs: no end, an end from outside, the run's own."""
    last_words = case.evidence.last(keys.OUTCOME)
    if last_words is None:
        if case.evidence.supervisor_alive:
            return Verdict(outcome="started", reason=None)
        return Verdict(outcome="lost", reason="the supervisor died before it recorded an end")
    reason = last_words.meta.get("reason")
    reason = reason if isinstance(reason, str) else None
    own = _own_ending(case)
    if own is not None:
        return own
    outside = _outside_ending(last_words)
    return Verdict(outcome=outside, reason=reason)


def _own_ending(case: Case) -> Verdict | None:
    """How the run ended by itself; None when it did not."""
    if case.evidence.spec.kind == "calibrate":
        return _calibrated_ending(case)
    return served_ending(case) if case.evidence.spec.scenario is not None else _trained_ending(case)


def _calibrated_ending(case: Case) -> Verdict | None:
    """A calibration has done its work when each ceiling was measured, or told why it cannot be."""
    if case.timeline.run_stop_ns is None:
        return None
    done = {event.value for event in case.evidence.all(keys.CEILING)}
    return Verdict(outcome="ok", reason=None) if done >= set(CEILING_METRICS) else None


def _trained_ending(case: Case) -> Verdict | None:
    """How the training ended by itself, as blocks and evaluations show; None when it did not."""
    timeline = case.timeline
    if timeline.run_stop_ns is None or not timeline.blocks:
        return None
    last_block = timeline.blocks[-1]
    samples = last_block.samples_before + last_block.samples
    if not math.isfinite(last_block.loss):
        return Verdict(outcome="diverged", reason=f"the training loss was not finite after {samples} samples")
    if not timeline.evaluations:
        return None
    quality = timeline.evaluations[-1].quality
    if not math.isfinite(quality):
        return Verdict(outcome="diverged", reason=f"the evaluated quality was not finite after {samples} samples")
    if case.target is None:
        done = case.cap_samples is not None and samples >= case.cap_samples
        return Verdict(outcome="ok", reason=None) if done else None
    if case.meets(quality):
        return Verdict(outcome="ok", reason=None)
    per_step = last_block.samples // max(last_block.steps, 1)
    if case.cap_samples is not None and samples + per_step > case.cap_samples:
        return Verdict(
            outcome="target_missed",
            reason=f"quality {quality:.4g} missed target {case.target:g} after {samples} samples",
        )
    return None


def _outside_ending(last_words: Event) -> str:
    """The outcome of a run that something ended before it ended itself."""
    limit = last_words.meta.get("limit")
    if limit in LIMIT_OUTCOMES:
        return LIMIT_OUTCOMES[limit]
    if last_words.meta.get("cancelled_by"):
        return "cancelled"
    claim = str(last_words.value)
    if claim in ("ok", "target_missed"):
        return "crash"  # It claims an end that its blocks and evaluations do not show.
    return claim if claim in MEANINGS else "crash"
