"""Cost, or energy, against speed: which configurations of a board no other beats in both, as a chart and a table.

Prices come from a dated table at the time of building and from no run; a board without a price shows energy where a
meter measured it, and without either nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from oildrop.results.costs import Economics, attempts_of, rates_of
from oildrop.rules.choosing import pareto
from oildrop.rules.costing import Rates, Value, cost_metric, value_of
from oildrop.rules.rulebook import Rulebook
from oildrop.rules.view_metrics import MEANINGS, unit_of
from oildrop.site.pages import labels
from oildrop.site.pages.addresses import system_address
from oildrop.site.pages.boards import Board, Configuration
from oildrop.site.pages.context import Site
from oildrop.site.pages.csvs import Cell
from oildrop.site.pages.formats import number
from oildrop.site.pages.scatter import Dot, scatter

MOST_DOTS = 200
"""Most configurations of a chart and its table, best first; the CSV file holds all."""

HEADER = (
    "system", "system_id", "backend", "division", "settings", "workload_id", "software_id", "speed_metric", "speed",
    "metric", "value", "ci95_low", "ci95_high", "unit", "formula", "scope", "runs", "price_per_hour", "currency",
    "price", "on_frontier",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class CostLine:
    """One configuration as the template takes it."""

    anchor: str
    machine: str
    system_href: str
    what: str
    speed: str
    value: str
    interval: str | None
    price: str | None
    on_frontier: bool


@dataclass(frozen=True, kw_only=True)
class CostView:
    """One board's chart with its table.

    Attributes:
        key: Its part of ids on the page.
        notes: Sentences under the table: the table's day, what is not in it.
    """

    key: str
    caption: str
    speed_heading: str
    value_heading: str
    chart: Markup
    lines: list[CostLine]
    priced: bool
    csv: str
    notes: list[str]


@dataclass(frozen=True, kw_only=True)
class _Point:
    configuration: Configuration
    speed: float
    value: Value
    rates: Rates


def write_costs(site: Site, board: Board) -> CostView | None:
    """The board's view, with its CSV file written; None where neither a price nor a meter speaks."""
    points = _points(board, site.economics, site.rulebook)
    if not points:
        return None
    metric, csv = points[0].value.name, f"results-{board.slug}-costs.csv"
    speed_metric = points[0].configuration.summary.metric
    on_frontier = pareto([_lower_is_better(point, speed_metric) for point in points])
    unit = points[0].value.unit
    drawn = list(zip(points, on_frontier, strict=True))[:MOST_DOTS]
    speed_heading, value_heading = _heading(speed_metric, ""), _heading(metric, unit)
    cells = [_cells(point, speed_metric, front) for point, front in zip(points, on_frontier, strict=True)]
    site.csv(csv, HEADER, cells)
    return CostView(
        key=board.slug,
        caption=f"{MEANINGS[metric].label} against {MEANINGS[speed_metric].label.lower()}, {board.name}",
        speed_heading=speed_heading,
        value_heading=value_heading,
        chart=scatter(
            [Dot(x=p.speed, y=p.value.value or 0.0, low=p.value.low, high=p.value.high, text=_who(p), front=front)
             for p, front in drawn],
            x_label=speed_heading, y_label=value_heading,
        ),
        lines=[_line(point, front) for point, front in drawn],
        priced=metric.startswith("cost"),
        csv=csv,
        notes=_notes(board, points, site.economics),
    )  # fmt: skip


def _points(board: Board, economics: Economics | None, rulebook: Rulebook) -> list[_Point]:
    """Configurations with a speed and a cost, else with a speed and an energy, of one league and one scope."""
    members = [
        each for each in board.configurations if each.summary.estimate is not None and each.summary.kind != "probe"
    ]
    for by_cost in (True, False) if economics is not None else (False,):
        points = [
            point for each in members if (point := _point(each, economics, rulebook, by_cost=by_cost)) is not None
        ]
        if points:
            first = points[0]
            return [point for point in points if _league(point) == _league(first)]
    return []


def _point(each: Configuration, economics: Economics | None, rulebook: Rulebook, *, by_cost: bool) -> _Point | None:
    row, attempts = each.rows[0], attempts_of(each.rows)
    rates = Rates(currency="", per_hour=None) if economics is None else rates_of(row, economics, rulebook)
    if by_cost and rates.per_hour is None:
        return None
    energy = "energy_to_target_j" if row.spec.kind == "to_target" else "energy_per_token_j"
    metric = cost_metric(row.spec.kind, row.spec.scenario, attempts) if by_cost else energy
    value = value_of(metric, row.spec.kind, attempts, rates)
    speed = each.summary.estimate
    return None if value.value is None or speed is None else _Point(
        configuration=each, speed=speed, value=value, rates=rates
    )  # fmt: skip


def _league(point: _Point) -> tuple[str, ...]:
    spec = point.configuration.rows[0].spec
    place = (spec.division, spec.benchmark_sha256, point.configuration.summary.metric)
    return (*place, point.value.name, point.value.unit, point.value.scope)


def _lower_is_better(point: _Point, speed_metric: str) -> tuple[float, float]:
    sign = -1 if MEANINGS[speed_metric].better == "higher" else 1
    return sign * point.speed, point.value.value or 0.0


def _heading(metric: str, unit: str) -> str:
    return f"{MEANINGS[metric].label} ({unit or unit_of(metric, '')})"


def _who(point: _Point) -> str:
    row = point.configuration.rows[0]
    return labels.joined([labels.device_name(row), row.spec.backend, labels.settings_text(row.spec)])


def _line(point: _Point, front: bool) -> CostLine:
    row, value, rates = point.configuration.rows[0], point.value, point.rates
    interval = None if value.low is None or value.high is None else f"{number(value.low)} to {number(value.high)}"
    price = None if rates.per_hour is None else f"{number(rates.per_hour)} {rates.currency}/h, {rates.source}"
    return CostLine(
        anchor=point.configuration.anchor,
        machine=labels.device_name(row),
        system_href=system_address(row.spec.system_id),
        what=labels.joined([row.spec.backend, labels.settings_text(row.spec)]),
        speed=number(point.speed),
        value=number(value.value or 0.0),
        interval=interval,
        price=price,
        on_frontier=front,
    )


def _cells(point: _Point, speed_metric: str, front: bool) -> tuple[Cell, ...]:
    row, value, rates = point.configuration.rows[0], point.value, point.rates
    spec = row.spec
    return (
        labels.device_name(row), spec.system_id, spec.backend, spec.division, labels.settings_text(spec),
        spec.workload_id, spec.software_id, speed_metric, point.speed, value.name, value.value, value.low, value.high,
        value.unit, value.formula, value.scope, value.count, rates.per_hour, rates.currency or None, rates.source,
        front,
    )  # fmt: skip


def _notes(board: Board, points: Sequence[_Point], economics: Economics | None) -> list[str]:
    first = points[0]
    notes = []
    if first.value.name.startswith("cost") and economics is not None:
        day = f" of {economics.prices.date}" if economics.prices.date else ""
        notes.append(
            f"Worked out from a table of prices{day} when this page was built, and in no run's record. Set-up is paid "
            "for too; a price has no interval of its own."
        )
    elif first.value.scope not in ("run", "configuration"):
        notes.append(f"Energy of scope {first.value.scope}.")
    others = sum(each.summary.kind != "probe" for each in board.configurations) - len(points)
    if others:
        what = "price, speed" if first.value.name.startswith("cost") else "energy, speed"
        notes.append(f"{others} of the board's configurations have no {what} or place beside these and are not drawn.")
    return notes
