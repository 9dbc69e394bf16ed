"""What the ranks of one run said of its outcome, and how they ended; weighed into one claim. Pure."""

from __future__ import annotations

from dataclasses import dataclass

OWN_ENDS = ("ok", "target_missed", "diverged")
"""Ends that training comes to by itself: all ranks come to them alike, and rank 0 speaks for them."""


@dataclass(frozen=True, kw_only=True)
class RankEnd:
    """A rank that ended badly: exit status as subprocess gives it, negative is a signal."""

    rank: int
    status: int


class Crew:
    """The ranks of one attempt."""

    def __init__(self, ranks: int) -> None:
        self.ranks = ranks
        self._claims: dict[int, tuple[str, str | None]] = {}
        self._first_end: RankEnd | None = None

    def claims(self, rank: int, outcome: str, reason: str | None) -> None:
        """Rank `rank` says that the run ended as `outcome`."""
        self._claims[rank] = (outcome, reason)

    def ended(self, rank: int, status: int) -> None:
        """Rank `rank` ended; only the first that ended badly counts, the others followed it."""
        if status != 0 and self._first_end is None:
            self._first_end = RankEnd(rank=rank, status=status)

    @property
    def failed(self) -> bool:
        """Whether some rank cannot go on, so that the others wait in vain."""
        return not self._ended_itself and (
            self._first_end is not None or any(outcome not in OWN_ENDS for outcome, _ in self._claims.values())
        )

    @property
    def _ended_itself(self) -> bool:
        return 0 in self._claims and self._claims[0][0] in OWN_ENDS

    @property
    def first_end(self) -> RankEnd | None:
        """The rank that ended badly before all others; None where all went well."""
        return self._first_end

    @property
    def culprit(self) -> int | None:
        """The rank that failed first as far as is known; None where the launcher itself failed."""
        if self._first_end is not None:
            return self._first_end.rank
        failed = [rank for rank, (outcome, _) in self._claims.items() if outcome not in OWN_ENDS]
        if failed:
            return min(failed)
        return 0 if self.ranks == 1 else None

    def claim(self) -> tuple[str, str | None] | None:
        """Outcome and reason for the whole; None where a rank was killed, or nobody said anything.

        A rank that ended without a word makes its peers fail in their next exchange: its end is the cause, theirs the
        consequence. What a rank says before any exchange (unsupported, invalid, oom) stands.
        """
        if self._ended_itself:
            return self._claims[0]
        for rank, (outcome, reason) in sorted(self._claims.items()):
            if outcome not in (*OWN_ENDS, "crash"):
                return outcome, self._named(rank, reason)
        if self._first_end is not None:
            return None
        for rank, (outcome, reason) in sorted(self._claims.items()):
            if outcome == "crash":
                return outcome, self._named(rank, reason)
        return None

    def _named(self, rank: int, reason: str | None) -> str | None:
        return reason if self.ranks == 1 else f"rank {rank}: {reason}"
