"""The one number by which a run is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oildrop.suite.cli.numbers import show_value

if TYPE_CHECKING:
    from oildrop.results.rows import RunRow


def headline(row: RunRow) -> str | None:
    """What speaks for runs of its kind and scenario; None for one that did not end `ok` or did not measure it."""
    from oildrop.rules.headline import headline_of

    metric = row.headlines.get(headline_of(row.spec.kind, row.spec.scenario) or "")
    if row.outcome != "ok" or metric is None or metric.value is None:
        return None
    return show_value(metric.value, metric.unit)


def what_came_of(row: RunRow) -> str:
    """The headline with its name, else the reason why there is none."""
    from oildrop.rules.headline import headline_of

    value, metric = headline(row), headline_of(row.spec.kind, row.spec.scenario)
    return row.judgement.reason or "" if value is None or metric is None else named(metric, value)


def named(metric: str, value: str) -> str:
    """`time to target 21.3 s`; a rate goes without its name, which its unit says already."""
    from oildrop.rules.catalogue import CATALOGUE

    meaning = CATALOGUE[metric]
    return value if meaning.unit.endswith("/s") else f"{meaning.label[0].lower()}{meaning.label[1:]} {value}"
