"""From all that is known at a run's end to the outcome that its log claims. Pure."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any

from oildrop.harness.watch import Breach

DISK_FULL = "disk_full"


@dataclass(frozen=True, kw_only=True)
class EndFacts:
    """What the supervisor saw.

    Attributes:
        claim: Outcome and reason that the worker claimed; None when it ended without a word.
        breach: The limit for which the supervisor killed it.
        cancelled_by: Name of the signal that asked for the end, such as SIGINT.
        disk_full: True when the store's disk had no space left.
        exit_status: As subprocess gives it: negative is a signal.
        kernel_oom: True when the kernel counted an out-of-memory kill meanwhile.
        rank: Whose exit status it is, where several processes trained; None for the only one.
    """

    claim: tuple[str, str | None] | None
    breach: Breach | None
    cancelled_by: str | None
    disk_full: bool
    exit_status: int | None
    kernel_oom: bool
    rank: int | None = None


@dataclass(frozen=True, kw_only=True)
class Ending:
    """The claim of a log's `outcome` event, with its evidence as the event's meta."""

    outcome: str
    reason: str | None
    evidence: dict[str, Any]


def ending_of(facts: EndFacts) -> Ending:
    """The outcome to claim; what stopped the run from outside comes before what it said itself."""
    evidence = {
        "exit_status": facts.exit_status,
        "limit": facts.breach.limit if facts.breach else None,
        "cancelled_by": facts.cancelled_by,
        "kernel_oom": facts.kernel_oom,
        **({} if facts.rank is None else {"rank": facts.rank}),
        "worker_claim": facts.claim[0] if facts.claim else None,
    }
    outcome, reason = _outcome(facts)
    return Ending(outcome=outcome, reason=reason, evidence={**evidence, "reason": reason})


def _outcome(facts: EndFacts) -> tuple[str, str | None]:
    if facts.disk_full:
        return "crash", DISK_FULL
    if facts.claim is not None:
        return facts.claim
    if facts.cancelled_by is not None:
        return "cancelled", f"stopped by {facts.cancelled_by}"
    if facts.breach is not None:
        return facts.breach.outcome, facts.breach.reason
    if facts.kernel_oom and facts.exit_status == -signal.SIGKILL:
        return "oom", f"the kernel killed {_who(facts)} for lack of memory"
    return "crash", exit_words(facts.exit_status, _who(facts))


def exit_words(status: int | None, who: str) -> str:
    """How `who` ended in words, by an exit status of subprocess."""
    if status is None:
        return f"{who} closed its pipe and did not end"
    if status < 0:
        return f"{who} was ended by {signal_name(status)} without a word"
    return f"{who} ended with exit code {status} without a word"


def signal_name(status: int) -> str:
    """The signal behind a negative exit status, such as SIGKILL."""
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def _who(facts: EndFacts) -> str:
    return "the worker" if facts.rank is None else f"rank {facts.rank}"
