"""What ranks claim and how they end, weighed into one claim."""

from __future__ import annotations

import signal

import pytest

from oildrop.harness.ending import EndFacts, ending_of
from oildrop.harness.ranks.crew import Crew

Claims = list[tuple[int, str, str | None]]

LOST_PEER = "RuntimeError: connection closed by peer"


@pytest.mark.parametrize(
    ("claims", "ends", "claim", "failed"),
    [
        ([(0, "ok", None), (1, "ok", None)], [], ("ok", None), False),
        ([(1, "ok", None)], [], None, False),
        ([(0, "diverged", "nan"), (1, "diverged", "nan")], [], ("diverged", "nan"), False),
        ([(0, "crash", LOST_PEER)], [], ("crash", f"rank 0: {LOST_PEER}"), True),
        ([(0, "crash", LOST_PEER)], [(1, -9)], None, True),
        ([(1, "crash", "other rulebook"), (2, "crash", LOST_PEER)], [], ("crash", "rank 1: other rulebook"), True),
        ([(2, "unsupported", "no GPU"), (0, "crash", LOST_PEER)], [], ("unsupported", "rank 2: no GPU"), True),
        ([(0, "ok", None)], [(1, -15)], ("ok", None), False),
    ],
)
def test_the_cause_stands_before_its_consequences(
    claims: Claims, ends: list[tuple[int, int]], claim: tuple[str, str | None] | None, failed: bool
) -> None:
    crew = Crew(3)
    for rank, outcome, reason in claims:
        crew.claims(rank, outcome, reason)
    for rank, status in ends:
        crew.ended(rank, status)
    assert (crew.claim(), crew.failed) == (claim, failed)


def test_only_the_first_bad_end_counts() -> None:
    crew = Crew(3)
    crew.ended(2, 0)
    crew.ended(1, -signal.SIGSEGV)
    crew.ended(0, -signal.SIGTERM)
    assert crew.first_end is not None
    assert (crew.culprit, crew.first_end.rank, crew.first_end.status) == (1, 1, -11)


def test_a_single_worker_is_not_called_a_rank() -> None:
    crew = Crew(1)
    crew.claims(0, "crash", "KeyError: 'x'")
    assert (crew.claim(), crew.culprit) == (("crash", "KeyError: 'x'"), 0)


def test_who_failed_without_a_word_from_any_rank_is_not_guessed() -> None:
    assert Crew(2).culprit is None


def test_the_reason_names_rank_and_signal() -> None:
    facts = EndFacts(
        claim=None, breach=None, cancelled_by=None, disk_full=False, exit_status=-9, kernel_oom=False, rank=3
    )
    ending = ending_of(facts)
    assert (ending.outcome, ending.reason) == ("crash", "rank 3 was ended by SIGKILL without a word")
    assert ending.evidence["rank"] == 3
