"""From the rows of one configuration to a side of a comparison."""

from __future__ import annotations

from collections.abc import Sequence

from oildrop.results.rows import RunRow
from oildrop.rules.comparison import Side, SideRun


def side_of(label: str, rows: Sequence[RunRow]) -> Side:
    """The side that `rows` make, one at least and all of one configuration, called `label` in every sentence."""
    chosen = rows[0]
    return Side(
        label=label,
        benchmark=chosen.spec.benchmark,
        benchmark_sha256=chosen.spec.benchmark_sha256,
        tier=chosen.spec.tier,
        kind=chosen.spec.kind,
        target=chosen.digest.target,
        scenario=chosen.spec.scenario,
        runs=tuple(
            SideRun(
                seed=row.spec.seed,
                session_id=row.spec.session_id,
                system_id=row.spec.system_id,
                outcome=row.outcome,
                seeds_chosen=row.spec.seeds_chosen,
                values={name: metric.value for name, metric in row.headlines.items()},
                scopes={name: metric.scope for name, metric in row.headlines.items() if metric.value is not None},
            )
            for row in rows
        ),
    )
