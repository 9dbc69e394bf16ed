"""The table of checks: every rule of the rulebook has one function, by its id."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from oildrop.rules.case import Case
from oildrop.rules.outcomes import Verdict
from oildrop.rules.records import Metric


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a check sees: the case, the derived outcome, and headline metrics by name."""

    case: Case
    verdict: Verdict
    metrics: Mapping[str, Metric]

    @property
    def ended_itself(self) -> bool:
        """Whether the run came to an end of its own: goal, or cap of samples."""
        return self.verdict.outcome in ("ok", "target_missed")


@dataclass(frozen=True, kw_only=True)
class Broken:
    """One way in which a rule is broken: what was found, and what to do."""

    message: str
    fix: str
    evidence: Mapping[str, Any]


Check = Callable[[Judged], Iterator[Broken]]
CHECKS: dict[str, Check] = {}


def rule(rule_id: str) -> Callable[[Check], Check]:
    """Register a function as the check of `rule_id`; each rule has one."""

    def register(check: Check) -> Check:
        if rule_id in CHECKS:
            raise ValueError(f"rule {rule_id} has two checks")
        CHECKS[rule_id] = check
        return check

    return register


def broken(message: str, fix: str, **evidence: Any) -> Broken:
    """Shorthand for a finding in the making."""
    return Broken(message=message, fix=fix, evidence=evidence)
