"""Limits and endings, worked out by hand."""

from __future__ import annotations

import signal

import pytest

from oildrop.harness.ending import EndFacts, ending_of
from oildrop.harness.watch import Breach, Watch
from oildrop.rules.records import Limits

SECOND = 1_000_000_000
LIMITS = Limits(deadline_s=100, heartbeat_s=10, stall_s=20, memory_bytes=1000)


def kept_alive(until_s: int) -> Watch:
    watch = Watch(LIMITS)
    watch.heard(until_s * SECOND)
    return watch


def test_nothing_is_passed_while_the_worker_beats() -> None:
    assert kept_alive(50).breach(60 * SECOND) is None


def test_silence_is_a_timeout() -> None:
    breach = kept_alive(50).breach(61 * SECOND)
    assert breach is not None
    assert (breach.limit, breach.outcome, breach.found, breach.allowed) == ("heartbeat", "timeout", 11.0, 10)
    assert breach.reason == "no heartbeat from the worker: 11.0 s of 10 s"


def test_the_deadline_counts_from_the_start() -> None:
    breach = kept_alive(100).breach(101 * SECOND)
    assert breach is not None and breach.limit == "deadline"


def test_no_progress_counts_only_in_timed_phases() -> None:
    watch = kept_alive(50)
    watch.entered("compile", 0)
    assert watch.breach(50 * SECOND) is None
    watch.entered("train", 25 * SECOND)
    watch.progressed(1, 29 * SECOND)
    watch.progressed(1, 48 * SECOND)
    assert watch.breach(49 * SECOND) is None
    breach = watch.breach(50 * SECOND)
    assert breach is not None and breach.limit == "stall"


def test_memory_is_oom() -> None:
    watch = kept_alive(1)
    watch.used(1000)
    assert watch.breach(SECOND) is None
    watch.used(3 * 2**20)
    breach = watch.breach(SECOND)
    assert breach is not None
    assert (breach.limit, breach.outcome) == ("memory", "oom")
    assert "3 MiB of 0 MiB" in breach.reason


BREACH = Breach(limit="deadline", outcome="timeout", allowed=1.0, found=2.0, unit="s")


@pytest.mark.parametrize(
    ("facts", "outcome"),
    [
        ({"claim": ("ok", None)}, "ok"),
        ({"claim": ("diverged", "nan")}, "diverged"),
        ({"breach": BREACH, "exit_status": -9}, "timeout"),
        ({"breach": BREACH, "exit_status": -9, "kernel_oom": True}, "timeout"),
        ({"cancelled_by": "SIGINT", "exit_status": -9}, "cancelled"),
        ({"cancelled_by": "SIGINT", "claim": ("ok", None)}, "ok"),
        ({"exit_status": -signal.SIGKILL, "kernel_oom": True}, "oom"),
        ({"exit_status": -signal.SIGKILL}, "crash"),
        ({"exit_status": 1}, "crash"),
        ({"disk_full": True, "claim": ("ok", None)}, "crash"),
    ],
)
def test_what_weighs_more_decides(facts: dict[str, object], outcome: str) -> None:
    nothing = {
        "claim": None, "breach": None, "cancelled_by": None, "disk_full": False, "exit_status": None,
        "kernel_oom": False,
    }  # fmt: skip
    ending = ending_of(EndFacts(**{**nothing, **facts}))  # type: ignore[arg-type]
    assert ending.outcome == outcome
    assert ending.evidence["reason"] == ending.reason
    assert (ending.reason is None) == (outcome == "ok")


def test_reasons_say_how_the_worker_ended() -> None:
    base = {"claim": None, "breach": None, "cancelled_by": None, "disk_full": False, "kernel_oom": False}
    assert "SIGSEGV" in str(ending_of(EndFacts(**base, exit_status=-11)).reason)  # type: ignore[arg-type]
    assert "exit code 3" in str(ending_of(EndFacts(**base, exit_status=3)).reason)  # type: ignore[arg-type]
