"""What an hour of hardware costs, and what a grid emits: dated rows for views, never for a judgement.

A currency is part of the unit: amounts of two currencies are never added, compared or turned into one another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Self

from pydantic import Field, model_validator

from oildrop.rules.errors import UsageError
from oildrop.rules.formulas.cost import purchase_per_hour
from oildrop.rules.records import Record
from oildrop.rules.settings import nearest

CURRENCY = r"^[A-Z]{3}$"
"""Codes of ISO 4217."""

DEFAULT_CURRENCY = "USD"
"""That of the rulebook's table, and of an amount that names none."""


class Price(Record):
    """One price of one part, or of one whole system. One of the three amounts is given.

    Attributes:
        device: A part by its name in devices.toml; None for a price of a system.
        system: How the system's id begins; None for a price of a part.
        currency: ISO 4217.
        per_device_hour: For one device and hour.
        per_hour: For the whole instance (or system) and hour.
        purchase: For buying the part or system, spread over `years` at `utilization`, a share of the time.
        devices: How many devices the instance holds.
        date: Day for which the source states it; None where the user stated it.
    """

    device: str | None = None
    system: str | None = None
    provider: str | None = None
    region: str | None = None
    instance: str | None = None
    devices: int = Field(default=1, gt=0)
    currency: str = Field(pattern=CURRENCY)
    per_device_hour: float | None = Field(default=None, gt=0)
    per_hour: float | None = Field(default=None, gt=0)
    purchase: float | None = Field(default=None, gt=0)
    years: float | None = Field(default=None, gt=0)
    utilization: float = Field(default=1.0, gt=0, le=1)
    source: str
    date: str | None = None

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if (self.device is None) == (self.system is None):
            raise ValueError("needs device or system, and not both")
        if [self.per_device_hour, self.per_hour, self.purchase].count(None) != 2:
            raise ValueError("needs one of per_device_hour, per_hour and purchase")
        if (self.purchase is None) != (self.years is None):
            raise ValueError("purchase needs years, and nothing else does")
        return self

    @property
    def rented(self) -> bool:
        """Whether electricity is in it, as it is in what a provider asks; not in what is bought or the user states."""
        return self.purchase is None and self.provider is not None

    def per_hour_of(self, devices: int) -> float:
        """Amount an hour for a run on `devices` devices; a price of a system is that of the whole."""
        if self.per_device_hour is not None:
            return self.per_device_hour * devices
        share = 1.0 if self.system is not None else devices / self.devices
        if self.purchase is not None and self.years is not None:
            return share * purchase_per_hour(self.purchase, self.years, self.utilization)
        assert self.per_hour is not None
        return share * self.per_hour

    def says(self) -> str:
        """Where it comes from, in words."""
        what = ", ".join(word for word in (self.provider, self.region, self.instance) if word)
        bought = "" if self.years is None else f"over {self.years:g} years at {100 * self.utilization:g} %"
        words = (what, bought, f"as of {self.date}" if self.date else self.source)
        return ", ".join(word for word in words if word)


class Grid(Record):
    """What electricity emits: grams of CO2 equivalent a kilowatt-hour, mean of `year`."""

    name: str
    code: str
    g_co2e_per_kwh: float = Field(ge=0)
    year: int | None = None
    source: str
    date: str | None = None


class Prices(Record):
    """Prices in one currency. What the user states of a system goes before the table's rows of its parts.

    Attributes:
        rows: Of this currency alone.
        others: Rows left out because they are in another.
        date: On which the table was last gone through.
    """

    currency: str = Field(pattern=CURRENCY)
    rows: tuple[Price, ...]
    others: tuple[Price, ...] = ()
    date: str | None = None

    def of(self, system_id: str, part: str | None) -> Price | str:
        """The price that holds for a system whose devices are the `part`, or why there is none.

        Of a system the price that names most of its id; else of the part the least a device and hour.
        """
        own = [row for row in self.rows if row.system is not None and system_id.startswith(row.system)]
        if own:
            return max(own, key=lambda row: len(str(row.system)))
        if part is None:
            return f"no price for system {system_id}: name one with --price"
        listed = [row for row in self.rows if row.device == part]
        if listed:
            return min(listed, key=lambda row: row.per_hour_of(1))
        elsewhere = sorted({row.currency for row in self.others if row.device == part})
        if elsewhere:
            return f"{part} has a price in {' and '.join(elsewhere)} and none in {self.currency}; currencies never mix"
        return f"no price for {part}: name one with --price"


def prices_of(
    table: Sequence[Price], stated: Sequence[Price] = (), *, date: str | None = None, provider: str | None = None
) -> Prices:
    """The prices of `table`, of one `provider` where one is named, and before them what the user `stated`.

    Raises:
        UsageError: An unknown provider, or stated prices in two currencies.
    """
    if provider is not None:
        known = {row.provider.casefold(): row.provider for row in table if row.provider}
        if provider.casefold() not in known:
            raise UsageError(f"unknown provider {provider!r}{nearest(provider, list(known.values()))}")
        table = [row for row in table if row.provider == known[provider.casefold()]]
    currencies = sorted({row.currency for row in stated})
    if len(currencies) > 1:
        raise UsageError(f"prices in {' and '.join(currencies)}: currencies never mix; give all in one")
    currency = currencies[0] if currencies else DEFAULT_CURRENCY
    if not currencies and table and all(row.currency != currency for row in table):
        currency = table[0].currency
    everything = [*stated, *table]
    return Prices(
        currency=currency,
        rows=tuple(row for row in everything if row.currency == currency),
        others=tuple(row for row in everything if row.currency != currency),
        date=date,
    )


_PRICE = re.compile(
    r"(?:(?P<system>[0-9a-f]{1,16})=)?(?P<amount>\d+(?:\.\d+)?) ?(?P<currency>[A-Za-z]{3})?"
    r"/(?:(?P<hour>h)|(?P<years>\d+(?:\.\d+)?)y(?:@(?P<percent>\d+(?:\.\d+)?)%)?)"
)


def parse_price(text: str, systems: Sequence[str]) -> Price:
    """`2.49/h`, `2.49EUR/h` or `1999USD/5y@50%` (bought, at work half of five years) of a system; `ID=…` names which.

    Args:
        systems: Ids that may be meant; without `ID=` there must be one.

    Raises:
        UsageError: Another form, an amount of 0, no such system, or several.
    """
    found = _PRICE.fullmatch(text.strip())
    if found is None or not float(found["amount"]) > 0 or (found["years"] and not float(found["years"]) > 0):
        raise UsageError(f"--price {text!r} is not a price; use 2.49/h, 2.49EUR/h or 1999USD/5y@50% (bought)")
    share = float(found["percent"] or 100) / 100
    if not 0 < share <= 1:
        raise UsageError(f"--price {text!r}: the share of the time at work must be above 0 % and at most 100 %")
    amount = float(found["amount"])
    return Price(
        system=_meant(text, found["system"], systems),
        currency=(found["currency"] or DEFAULT_CURRENCY).upper(),
        per_hour=amount if found["hour"] else None,
        purchase=None if found["hour"] else amount,
        years=float(found["years"]) if found["years"] else None,
        utilization=share,
        source="stated with --price",
    )


def _meant(text: str, beginning: str | None, systems: Sequence[str]) -> str:
    known = sorted(set(systems))
    fitting = [system for system in known if beginning is None or system.startswith(beginning)]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise UsageError(f"--price {text!r}: no system here has that id; there are {', '.join(known) or 'none'}")
    raise UsageError(
        f"--price {text!r} may be meant of {len(fitting)} systems ({', '.join(fitting)}); say which: ID=AMOUNT/h"
    )


def parse_electricity(text: str, currency: str) -> float:
    """`0.30EUR/kWh` as an amount of `currency` a kilowatt-hour.

    Raises:
        UsageError: Another form, or another currency than that of the prices.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([A-Za-z]{3})?/kWh", text.strip(), re.IGNORECASE)
    if found is None:
        raise UsageError(f"--electricity {text!r} is not a price; use for example 0.30EUR/kWh")
    named = (found[2] or DEFAULT_CURRENCY).upper()
    if named != currency:
        raise UsageError(f"--electricity is in {named} and the prices are in {currency}: give both in one currency")
    return float(found[1])


def parse_grid(text: str, table: Sequence[Grid]) -> Grid:
    """A country of `table` by name or code, or a number of g CO2e a kWh.

    Raises:
        UsageError: Neither; names the nearest.
    """
    if re.fullmatch(r"\d+(\.\d+)?", text.strip()):
        return Grid(name="stated", code="", g_co2e_per_kwh=float(text), source="stated with --grid")
    for grid in table:
        if text.strip().casefold() in (grid.name.casefold(), grid.code.casefold()):
            return grid
    offer = nearest(text, [grid.name for grid in table])
    raise UsageError(f"--grid {text!r} is no country of the table and no number of g CO2e/kWh{offer}")
