"""Read tables of prices and of grids; a broken one is refused with line and reason."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from oildrop.rules.errors import RulebookError, UsageError
from oildrop.rules.loading import parse_rows, parse_toml
from oildrop.rules.prices import Grid, Price

PRICES_SCHEMA = "oildrop.prices/1"
GRID_SCHEMA = "oildrop.grid/1"


@dataclass(frozen=True, kw_only=True)
class PriceTable:
    """Rows with the day on which somebody last went through them."""

    rows: tuple[Price, ...]
    date: str


@functools.cache
def load_prices() -> PriceTable:
    """The prices that this release ships. Raises RulebookError when the file is broken."""
    return parse_prices("prices.toml", _shipped("prices.toml"))


@functools.cache
def load_grids() -> tuple[Grid, ...]:
    """The grids that this release ships. Raises RulebookError when the file is broken."""
    table = _table("grid.toml", _shipped("grid.toml"), GRID_SCHEMA)
    return parse_rows(Grid, "grid.toml", "grid", table, _shipped("grid.toml"))


def read_prices(path: Path) -> PriceTable:
    """A user's table of prices, in the form of `rules/v1/prices.toml`.

    Raises:
        UsageError: The file cannot be read, or breaks the form; names line and reason.
    """
    try:
        return parse_prices(path.name, path.read_bytes())
    except OSError as error:
        raise UsageError(f"--prices {path}: {error.strerror}; name a file in the form of prices.toml") from error
    except RulebookError as error:
        raise UsageError(f"--prices {error}") from error


def parse_prices(name: str, raw: bytes) -> PriceTable:
    """The table in the bytes `raw` of file `name`. Raises RulebookError; names file, line and reason."""
    table = _table(name, raw, PRICES_SCHEMA)
    rows = parse_rows(Price, name, "price", table, raw)
    undated = next((index for index, row in enumerate(rows, start=1) if row.date is None), None)
    if undated is not None:
        raise RulebookError(f"{name}: price number {undated} has no date; say for which day its source states it")
    date = table.get("date")
    if not isinstance(date, str):
        raise RulebookError(f"{name}: line 1: date is missing; say on which day the table was last gone through")
    return PriceTable(rows=rows, date=date)


def _table(name: str, raw: bytes, schema: str) -> dict[str, Any]:
    table = parse_toml(name, raw)
    if table.get("schema") != schema:
        raise RulebookError(f"{name}: line 1: schema {table.get('schema')!r} is not {schema}")
    return table


def _shipped(name: str) -> bytes:
    return resources.files("oildrop.rules.v1").joinpath(name).read_bytes()
