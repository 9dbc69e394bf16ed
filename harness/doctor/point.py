"""One thing that the doctor looks at: what is read, what can be wrong with it, and what then helps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from oildrop.harness.doctor.snapshot import Snapshot
from oildrop.rules.records import Record

Status = Literal["good", "warn", "bad", "unknown"]


class Advice(Record):
    """One thing looked at.

    Attributes:
        id: Stable name, such as `cpu-load`.
        what: The judgement in one sentence.
        evidence: What was read, with units.
        fix: What to do; empty when nothing need be done.
    """

    id: str
    status: Status
    what: str
    evidence: str
    fix: str = ""


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """One way in which it can be wrong."""

    holds: Callable[[Snapshot], bool]
    what: str
    fix: str
    status: Status = "warn"


@dataclass(frozen=True, kw_only=True)
class Point:
    """A row of the doctor's table.

    Attributes:
        evidence: What was read, in words; None where it could not be.
        good: The judgement where no trouble holds; of several troubles the first counts.
        unread: The judgement where nothing was read, why, and what to do about that.
    """

    id: str
    evidence: Callable[[Snapshot], str | None]
    good: str
    troubles: tuple[Trouble, ...]
    unread: tuple[str, str, str] = ("", "", "")

    def advise(self, snapshot: Snapshot) -> Advice:
        """The point's judgement of a machine."""
        evidence = self.evidence(snapshot)
        if evidence is None:
            what, why, fix = self.unread
            return Advice(id=self.id, status="unknown", what=what, evidence=why, fix=fix)
        for trouble in self.troubles:
            if trouble.holds(snapshot):
                return Advice(id=self.id, status=trouble.status, what=trouble.what, evidence=evidence, fix=trouble.fix)
        return Advice(id=self.id, status="good", what=self.good, evidence=evidence)
