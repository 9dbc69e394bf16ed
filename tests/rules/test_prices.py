"""Prices and grids: the shipped tables, which row holds, currencies apart, and what the user states."""

from datetime import date

import pytest

from oildrop.rules.errors import RulebookError, UsageError
from oildrop.rules.loading import load_rulebook
from oildrop.rules.loading_prices import load_grids, load_prices, parse_prices, read_prices
from oildrop.rules.prices import Price, parse_electricity, parse_grid, parse_price, prices_of

TODAY = date(2026, 11, 28)


def row(amount=2.0, **fields):
    given = {"device": "X", "provider": "P", "currency": "USD", "source": "made up", "date": "2026-01-02"}
    return Price(**{**given, "per_device_hour": amount, **fields})


def test_each_shipped_row_is_of_a_listed_part_with_source_and_day():
    parts = {part.name for part in load_rulebook().devices}
    table = load_prices()
    assert date.fromisoformat(table.date) <= TODAY
    for price in table.rows:
        assert price.device in parts
        assert len(price.source) > 10 and date(2022, 1, 1) < date.fromisoformat(price.date) <= TODAY
        assert price.provider and price.instance
        assert 0.01 < price.per_hour_of(1) < 20
    for grid in load_grids():
        assert 0 < grid.g_co2e_per_kwh < 1000 and grid.year == 2023 and "Ember" in grid.source
    assert len({grid.code for grid in load_grids()}) == len(load_grids())


def test_no_price_enters_a_bundle_or_the_tables_of_a_judgement():
    rulebook = load_rulebook()
    for benchmark in rulebook.benchmarks.values():
        assert not {"prices.toml", "grid.toml"} & set(rulebook.files_of(benchmark))
    assert "prices.toml" in rulebook.files


def test_an_hour_of_an_instance_a_device_and_something_bought():
    assert row(per_device_hour=None, per_hour=16.0, devices=8).per_hour_of(2) == pytest.approx(4.0)
    assert row(3.0).per_hour_of(4) == pytest.approx(12.0)
    bought = row(per_device_hour=None, purchase=8766.0, years=1.0, utilization=0.5)
    assert bought.per_hour_of(3) == pytest.approx(6.0)
    own = Price(system="ab", per_hour=5.0, currency="EUR", source="stated")
    assert own.per_hour_of(8) == pytest.approx(5.0)
    assert (row().rented, bought.rented, own.rented) == (True, False, False)


@pytest.mark.parametrize(
    "fields",
    [{"system": "ab"}, {"per_hour": 1.0}, {"per_device_hour": None, "purchase": 5.0}, {"currency": "usd"}],
)
def test_half_a_price_is_refused(fields):
    with pytest.raises(ValueError, match=r"needs|currency"):
        row(**fields)


def test_the_users_price_goes_first_then_the_least_of_the_part():
    table = [row(3.0), row(2.0, provider="Q"), row(1.0, currency="EUR", provider="R")]
    prices = prices_of(table, date="2026-01-02")
    assert prices.of("abcd", "X").per_device_hour == 2.0
    assert prices_of(table, provider="p").of("abcd", "X").per_device_hour == 3.0
    own = parse_price("0.5/h", ["abcd", "abcd"])
    assert prices_of(table, [own]).of("abcd", "X").per_hour == 0.5
    assert prices_of(table, [own]).of("ffff", "X").per_device_hour == 2.0
    assert "no price for Y: name one with --price" in prices.of("abcd", "Y")
    assert "no price for system abcd" in prices.of("abcd", None)
    with pytest.raises(UsageError, match="did you mean"):
        prices_of([row(provider="Lambda")], provider="lamda")


def test_currencies_never_mix():
    euro = parse_price("2EUR/h", ["abcd"])
    assert prices_of([row()], [euro]).of("ffff", "X") == "X has a price in USD and none in EUR; currencies never mix"
    with pytest.raises(UsageError, match="EUR and USD: currencies never mix"):
        prices_of([], [euro, parse_price("2/h", ["abcd"])])
    with pytest.raises(UsageError, match="give both in one currency"):
        parse_electricity("0.3EUR/kWh", "USD")
    assert parse_electricity("0.3 eur/kWh", "EUR") == 0.3
    assert prices_of([row(currency="EUR")]).currency == "EUR"


def test_what_a_price_may_look_like():
    assert parse_price("ab=2.49EUR/h", ["abcd", "ffff"]).system == "abcd"
    bought = parse_price("1999USD/5y@50%", ["abcd"])
    assert (bought.purchase, bought.years, bought.utilization) == (1999.0, 5.0, 0.5)
    assert bought.per_hour_of(1) == pytest.approx(1999 / (5 * 8766 * 0.5))
    for text in ("2.49", "-1/h", "0/h", "1/0y", "2EURO/h", "2/d", "nan/h", "5USD/2y@0%", "5USD/2y@200%"):
        with pytest.raises(UsageError, match="--price"):
            parse_price(text, ["abcd"])
    with pytest.raises(UsageError, match=r"2 systems \(abcd, ffff\)"):
        parse_price("2/h", ["abcd", "ffff"])
    with pytest.raises(UsageError, match="there are abcd"):
        parse_price("99=2/h", ["abcd"])


def test_a_grid_by_name_code_or_number():
    grids = load_grids()
    assert parse_grid("france", grids).g_co2e_per_kwh == parse_grid("FRA", grids).g_co2e_per_kwh == 56
    assert parse_grid("369", grids).g_co2e_per_kwh == 369
    with pytest.raises(UsageError, match="Germany"):
        parse_grid("Germny", grids)


def test_a_broken_file_names_line_and_reason(tmp_path):
    good = (
        'schema = "oildrop.prices/1"\ndate = "2026-01-02"\n[[price]]\ndevice = "X"\ncurrency = "USD"\nper_hour = 2.0\n'
    )
    with pytest.raises(RulebookError, match="price number 1 has no date"):
        parse_prices("p.toml", (good + 'source = "made up"\n').encode())
    with pytest.raises(RulebookError, match=r"p.toml: line \d+: price.0.source"):
        parse_prices("p.toml", good.encode())
    with pytest.raises(RulebookError, match="schema None is not"):
        parse_prices("p.toml", b"")
    with pytest.raises(UsageError, match="No such file"):
        read_prices(tmp_path / "none.toml")
    path = tmp_path / "p.toml"
    path.write_text(good.replace("2.0", "-2.0") + 'source = "made up"\ndate = "2026-01-02"\n')
    with pytest.raises(UsageError, match=r"line 6: price.0.per_hour"):
        read_prices(path)
