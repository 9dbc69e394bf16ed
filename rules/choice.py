"""The answer to a choice: records of who holds the bounds, who was left out, and how surely the winner wins."""

from __future__ import annotations

from typing import Literal

from oildrop.rules.comparison_sentences import Comparison
from oildrop.rules.costing import Value
from oildrop.rules.records import Record

Sense = Literal["min", "max"]
Certainty = Literal["sure", "likely"]
Why = Literal["invalid", "missing", "scope", "constraint", "unlike"]


class Held(Record):
    """How one constraint stands for one configuration.

    Attributes:
        certainty: `sure` where the whole interval is on the right side, `likely` where only the estimate is.
        miss: By which share of the limit the estimate misses it (an amount where the limit is 0); None where held.
        surely_missed: Whether the whole interval is on the wrong side; None without an interval, and where held.
    """

    metric: str
    sense: Sense
    limit: float
    value: float
    held: bool
    certainty: Certainty | None
    miss: float | None
    surely_missed: bool | None


class Entry(Record):
    """One configuration in the answer.

    Attributes:
        certainty: That it holds all constraints; None where it does not, and where there are none to hold.
        on_frontier: No other that holds the constraints is at least as good in everything that is asked and better
            in something.
    """

    key: str
    label: str
    values: dict[str, Value]
    constraints: tuple[Held, ...]
    certainty: Certainty | None
    on_frontier: bool


class LeftOut(Record):
    """One configuration that was not considered, and why.

    Attributes:
        worst_miss: The largest miss of a constraint, as of `Held`; None for another reason.
    """

    key: str
    label: str
    why: Why
    reason: str
    constraints: tuple[Held, ...] = ()
    worst_miss: float | None = None


class Rival(Record):
    """The winner against one other configuration that holds the constraints.

    Attributes:
        p_holm: The comparison's p-value adjusted for all rivals; None without a test.
        told: Whether the winner is told from it, adjusted.
        probability: That the winner is the better of the two, by the t distribution of the ratio with nothing
            assumed beforehand; None where ranks were tested, or nothing.
    """

    key: str
    label: str
    comparison: Comparison
    p_holm: float | None
    told: bool
    probability: float | None


class Choice(Record):
    """The answer.

    Attributes:
        entries: Those that hold all constraints, best first.
        left_out: The others, nearest misses of a constraint first.
        winner: Key of the first entry; None where there is none.
        sentence: All of it in words.
    """

    objective: str
    entries: tuple[Entry, ...]
    left_out: tuple[LeftOut, ...]
    winner: str | None
    rivals: tuple[Rival, ...]
    sentence: str
