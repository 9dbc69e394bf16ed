"""Options that price what a view shows, and what comes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from oildrop.suite.cli.options import option

if TYPE_CHECKING:
    from oildrop.results.costs import Economics

PriceOption = Annotated[list[str] | None, option("--price", "P", "What a system costs: [ID=]2.49/h or 1999USD/5y@50%.")]
PricesOption = Annotated[Path | None, option("--prices", "FILE", "A table of prices (the rulebook's).")]
ProviderOption = Annotated[str | None, option("--provider", "NAME", "Only this provider's prices (the cheapest).")]
ElectricityOption = Annotated[str | None, option("--electricity", "P", "0.30EUR/kWh: on top where a price lacks it.")]
GridOption = Annotated[str | None, option("--grid", "NAME", "A country's, or g CO2e/kWh: for carbon.")]


@dataclass(frozen=True, kw_only=True)
class Pricing:
    """The options as given."""

    price: Sequence[str] = ()
    prices: Path | None = None
    provider: str | None = None
    electricity: str | None = None
    grid: str | None = None

    def economics(self, systems: Sequence[str]) -> Economics:
        """What they mean for a view of these `systems` (ids). Raises UsageError for what cannot be read."""
        from oildrop.results.costs import Economics
        from oildrop.rules.loading_prices import load_grids, load_prices, read_prices
        from oildrop.rules.prices import parse_electricity, parse_grid, parse_price, prices_of

        table = read_prices(self.prices) if self.prices else load_prices()
        stated = [parse_price(text, systems) for text in self.price]
        prices = prices_of(table.rows, stated, date=table.date, provider=self.provider)
        return Economics(
            prices=prices,
            electricity_per_kwh=parse_electricity(self.electricity, prices.currency) if self.electricity else None,
            grid=parse_grid(self.grid, load_grids()) if self.grid else None,
        )


def pricing_document(economics: Economics) -> dict[str, Any]:
    """What a view was priced by, for its document."""
    grid = economics.grid
    return {
        "currency": economics.prices.currency,
        "table_date": economics.prices.date,
        "electricity_per_kwh": economics.electricity_per_kwh,
        "grid": None if grid is None else grid.model_dump(),
    }
