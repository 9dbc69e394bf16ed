"""From the rows of a store to the history of each configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oildrop.results.document import set_runs
from oildrop.results.rows import RunRow
from oildrop.rules.history import History, Sitting, history_of
from oildrop.rules.set_runs import SetRun


@dataclass(frozen=True, kw_only=True)
class ConfigurationHistory:
    """One configuration, known by any run of it, and its history."""

    row: RunRow
    history: History


def histories(rows: Sequence[RunRow]) -> list[ConfigurationHistory]:
    """One history for each configuration that has a headline metric, ordered as summaries are."""
    groups: dict[tuple[str, ...], list[tuple[RunRow, SetRun]]] = {}
    for row, run in zip(rows, set_runs(rows), strict=True):
        if run.metric is not None:
            groups.setdefault(run.configuration, []).append((row, run))
    return [
        ConfigurationHistory(row=group[0][0], history=history_of(str(group[0][1].metric), _sittings(group)))
        for _, group in sorted(groups.items())
    ]


def _sittings(group: Sequence[tuple[RunRow, SetRun]]) -> list[Sitting]:
    sessions: dict[str, list[tuple[RunRow, SetRun]]] = {}
    for row, run in group:
        sessions.setdefault(row.spec.session_id, []).append((row, run))
    return [
        Sitting(
            session_id=session_id,
            created_utc=min(row.spec.created_utc for row, _ in members),
            runs=tuple(run for _, run in members),
        )
        for session_id, members in sessions.items()
    ]
