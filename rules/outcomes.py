"""How a run can end, and what each ending means for its set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal[
    "started", "ok", "target_missed", "diverged", "oom", "timeout", "crash", "accuracy_fail",
    "invalid", "unsupported", "cancelled", "lost", "withdrawn",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class OutcomeMeaning:
    """One outcome in words and shape, so that a page never speaks by colour alone.

    Attributes:
        mark: One character shown beside the word.
        text: What happened, for people.
        time: How its time to target counts: `exact`, `censored` at the cap, `infinite`, or `none`.
    """

    mark: str
    text: str
    time: Literal["exact", "censored", "infinite", "none"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """An outcome with its reason in one sentence; None where the outcome says it all."""

    outcome: str
    reason: str | None


MEANINGS: dict[str, OutcomeMeaning] = {
    "ok": OutcomeMeaning(mark="●", text="reached its goal under the rules", time="exact"),
    "target_missed": OutcomeMeaning(
        mark="◐", text="samples used up before the target, or answers later than allowed", time="censored"
    ),
    "diverged": OutcomeMeaning(mark="↗", text="the loss was no longer a finite number", time="infinite"),
    "oom": OutcomeMeaning(mark="▣", text="ran out of memory", time="infinite"),
    "timeout": OutcomeMeaning(mark="◷", text="deadline passed, or the worker fell silent", time="infinite"),
    "crash": OutcomeMeaning(mark="✖", text="ended by an error", time="infinite"),
    "accuracy_fail": OutcomeMeaning(mark="≠", text="answers were not good enough", time="infinite"),
    "invalid": OutcomeMeaning(mark="⚠", text="a rule was broken", time="none"),
    "unsupported": OutcomeMeaning(mark="∅", text="cannot run here", time="none"),
    "cancelled": OutcomeMeaning(mark="⊘", text="stopped by hand", time="infinite"),
    "lost": OutcomeMeaning(mark="?", text="its supervisor died without recording an end", time="infinite"),
    "withdrawn": OutcomeMeaning(mark="–", text="taken back by its submitter", time="none"),
    "started": OutcomeMeaning(mark="…", text="still running", time="none"),
}
