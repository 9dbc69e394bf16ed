"""From the rows of a configuration to what it costs: its devices' price, its attempts, and view metrics over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oildrop.results.rows import RunRow
from oildrop.rules.costing import Attempt, Rates, Value, value_of
from oildrop.rules.prices import Grid, Prices
from oildrop.rules.records import RunSpec
from oildrop.rules.rulebook import Rulebook
from oildrop.rules.set_runs import is_counted


@dataclass(frozen=True, kw_only=True)
class Economics:
    """What a view prices runs by.

    Attributes:
        electricity_per_kwh: In the prices' currency; added where a price does not hold it already.
    """

    prices: Prices
    electricity_per_kwh: float | None = None
    grid: Grid | None = None


def attempts_of(rows: Sequence[RunRow]) -> list[Attempt]:
    """The runs that count, as attempts."""
    return [
        Attempt(
            ok=row.outcome == "ok",
            elapsed_s=row.elapsed_s,
            values={name: metric.value for name, metric in row.headlines.items()},
            scopes={name: metric.scope for name, metric in row.headlines.items() if metric.value is not None},
            reasons={name: metric.reason for name, metric in row.headlines.items() if metric.reason is not None},
        )
        for row in rows
        if is_counted(row.outcome, row.spec.seeds_chosen)
    ]


def rates_of(row: RunRow, economics: Economics, rulebook: Rulebook) -> Rates:
    """What an hour of the configuration of `row` costs, or why nobody knows."""
    currency, grid = economics.prices.currency, economics.grid
    carbon = None if grid is None else grid.g_co2e_per_kwh
    why = _elsewhere(row.spec)
    price = why or economics.prices.of(row.spec.system_id, _part(row, rulebook))
    if isinstance(price, str):
        return Rates(currency=currency, per_hour=None, why=price, carbon_g_per_kwh=carbon)
    return Rates(
        currency=currency,
        per_hour=price.per_hour_of(_devices(row.spec)),
        electricity_per_kwh=None if price.rented else economics.electricity_per_kwh,
        carbon_g_per_kwh=carbon,
        source=price.says(),
    )


def values_of(rows: Sequence[RunRow], names: Sequence[str], rates: Rates) -> dict[str, Value]:
    """Each metric of `names` over the runs of one configuration."""
    attempts = attempts_of(rows)
    return {name: value_of(name, rows[0].spec.kind, attempts, rates) for name in names}


def _elsewhere(spec: RunSpec) -> str | None:
    """Why the machine of the run is not all that worked; None where it is."""
    if spec.settings.get("execution.prefill_machine") == "other":
        return "prompts were read on another machine, whose price is not known here"
    reader = spec.settings.get("execution.prefill_backend")
    if spec.settings.get("execution.transfer", "none") != "none" and reader and reader != spec.backend:
        return f"prompts were read by another device ({reader}) than the one that decoded ({spec.backend})"
    return None


def _part(row: RunRow, rulebook: Rulebook) -> str | None:
    """The listed part that computed; None for a processor, unlisted or mixed devices, and a server's machine."""
    if row.system is None or row.system.declared is not None or row.spec.backend.endswith("-cpu"):
        return None
    parts = [rulebook.peaks_of(accelerator.model) for accelerator in row.system.accelerators]
    names = {None if part is None else part.name for part in parts}
    return names.pop() if len(names) == 1 else None


def _devices(spec: RunSpec) -> int:
    devices = spec.settings.get("execution.devices", 1)
    return devices if isinstance(devices, int) and devices > 0 else 1
