"""One configuration over its sessions: whether it changed, and the sentences that may be said of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oildrop.rules.change_points import change_points
from oildrop.rules.records import Record
from oildrop.rules.set_runs import SetRun, counted_of
from oildrop.rules.statistics import geometric_mean

LEAST_SESSIONS = 8
"""Sessions from which a change can show at all: of seven, 2 in 35 orders look like a clean one in the middle."""

FORMS = {
    "changed": "from the session of {when} on, {metric} is {ratio}× what it was before (p {p}, {count} sessions)",
    "steady": "no change of {metric} is seen in {count} sessions",
    "few": "{sessions} cannot show a change of {metric}: that takes {least} in which every run succeeded",
}
"""Every sentence that a history can say."""


@dataclass(frozen=True, kw_only=True)
class Sitting:
    """The runs of one configuration in one session, and when the first of them was made (UTC, ISO 8601)."""

    session_id: str
    created_utc: str
    runs: tuple[SetRun, ...]


class SessionPoint(Record):
    """One session of a history.

    Attributes:
        estimate: Geometric mean of the headline metric, in its unit; None where a run failed or carries none.
    """

    session_id: str
    created_utc: str
    runs: int
    ok: int
    estimate: float | None


class Change(Record):
    """The session from which on the metric differs from what it was before.

    Attributes:
        ratio: After over before, dimensionless.
    """

    session_id: str
    created_utc: str
    ratio: float
    p_value: float


class History(Record):
    """What the sessions of one configuration say together, in order of time."""

    metric: str
    sessions: tuple[SessionPoint, ...]
    changes: tuple[Change, ...]
    sentences: tuple[str, ...]


def history_of(metric: str, sittings: Sequence[Sitting]) -> History:
    """The history of one configuration; sessions without a counted run are left out.

    Each session is one value, because what its runs share is no scatter of independent values.
    """
    in_order = sorted(sittings, key=lambda sitting: (sitting.created_utc, sitting.session_id))
    points = [point for sitting in in_order if (point := _point(sitting)).runs]
    known = [(point, point.estimate) for point in points if point.estimate is not None]
    changes = tuple(
        Change(
            session_id=known[found.index][0].session_id,
            created_utc=known[found.index][0].created_utc,
            ratio=found.ratio,
            p_value=found.p_value,
        )
        for found in change_points([estimate for _, estimate in known])
    )
    return History(
        metric=metric, sessions=tuple(points), changes=changes, sentences=_sentences(metric, len(known), changes)
    )


def _point(sitting: Sitting) -> SessionPoint:
    counted = counted_of(sitting.runs)
    good = [run.value for run in counted if run.outcome == "ok" and run.value is not None and run.value > 0]
    return SessionPoint(
        session_id=sitting.session_id,
        created_utc=sitting.created_utc,
        runs=len(counted),
        ok=[run.outcome for run in counted].count("ok"),
        estimate=geometric_mean(good) if good and len(good) == len(counted) else None,
    )


def _sentences(metric: str, count: int, changes: Sequence[Change]) -> tuple[str, ...]:
    if not changes:
        form = FORMS["few" if count < LEAST_SESSIONS else "steady"]
        sessions = "1 session" if count == 1 else f"{count} sessions"
        return (form.format(count=count, sessions=sessions, metric=metric, least=LEAST_SESSIONS),)
    return tuple(
        FORMS["changed"].format(
            when=change.created_utc[:10], metric=metric, ratio=f"{change.ratio:.2f}",
            p="< 0.001" if change.p_value < 0.001 else f"= {change.p_value:.2g}", count=count,
        )
        for change in changes
    )  # fmt: skip
