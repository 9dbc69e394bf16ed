"""Cost and speed on the page: only where a price is, with its source, frontier and exact values."""

from __future__ import annotations

import csv
import re

import html5lib
import pytest

from oildrop.results.costs import Economics
from oildrop.rules.prices import Price, prices_of
from oildrop.site.pages.build import build_site
from oildrop.site.pages.scatter import Dot, scatter

PRICE = Price(
    device="Example X100", provider="Example Cloud", instance="8 x X100", devices=8, currency="EUR", per_hour=72.0,
    source="made up for a test", date="2026-01-02",
)  # fmt: skip


def priced(runs, out, rows, *prices):
    economics = Economics(prices=prices_of(prices, date="2026-11-28"))
    build_site(rows, runs.rulebook(), out, built_utc="2026-11-22T12:34:56Z", economics=economics)
    return (out / "index.html").read_text("utf-8")


def test_without_a_price_or_energy_the_page_says_nothing_of_cost(runs, every_outcome, tmp_path):
    assert "Cost and speed" not in every_outcome.text("index.html")
    assert "Cost and speed" not in priced(runs, tmp_path / "page", runs.one_of_each())


def test_a_price_gives_its_configurations_a_cost_with_source_and_day(runs, tmp_path):
    page = priced(runs, tmp_path / "page", runs.one_of_each(), PRICE)
    assert page.count("Cost and speed") == 1
    assert "9.00 EUR/h, Example Cloud, 8 x X100, as of 2026-01-02" in page
    assert "a table of prices of 2026-11-28" in page
    with open(tmp_path / "page" / "results-lm-pretrain-nano-costs.csv", newline="") as file:
        [line] = csv.DictReader(file)
    elapsed = [row.elapsed_s for row in runs.one_of_each() if row.spec.backend == "torch-cuda"]
    product = 1.0
    for time_s in elapsed:
        product *= time_s
    assert float(line["value"]) == pytest.approx(product ** (1 / 5) * 9 / 3600)
    assert (line["metric"], line["unit"], line["currency"]) == ("cost_to_target", "EUR", "EUR")
    assert line["on_frontier"] == "True"
    html5lib.HTMLParser(strict=True).parse(page)


def test_the_users_price_of_a_system_draws_all_that_ran_there(runs, tmp_path):
    slow, fast = runs.system(1), runs.system(2)
    rows = [
        runs.row(10 * k + n, machine=machine, time_s=time_s * (1 + 0.01 * n), seed_index=n)
        for k, (machine, time_s) in enumerate(((slow, 20.0), (fast, 10.0)))
        for n in range(3)
    ]
    own = [
        Price(system=machine.system_id(), currency="USD", per_hour=amount, source="stated with --price")
        for machine, amount in ((slow, 1.0), (fast, 1.2))
    ]
    page = priced(runs, tmp_path / "page", rows, *own)
    figure = page[page.index("Cost and speed") :]
    assert figure.count("<circle") == 2 and figure.count('<circle class="front"') == 1
    assert "2 configurations, 1 on the frontier" in figure


def test_energy_stands_in_where_there_is_no_price(runs, tmp_path):
    rows = [runs.row(n, time_s=20.0 + n, seed_index=n) for n in range(3)]
    metered = []
    for row in rows:
        metrics = tuple(
            metric.model_copy(update={"value": 500.0, "status": "measured", "reason": None, "scope": "node"})
            if metric.name == "energy_to_target_j"
            else metric
            for metric in row.judgement.metrics
        )
        judgement = row.judgement.model_copy(update={"metrics": metrics})
        metered.append(
            type(row)(spec=row.spec, system=row.system, judgement=judgement, digest=row.digest, sealed=True,
                      bundle_id=None, elapsed_s=row.elapsed_s)
        )  # fmt: skip
    page = priced(runs, tmp_path / "page", metered)
    assert "Energy and speed" in page and "Energy of scope node." in page
    assert "Cost and speed" not in page


def test_dots_lie_where_the_axes_say():
    dots = [
        Dot(x=1.0, y=2.0, low=1.5, high=4.0, text="A & B", front=True),
        Dot(x=2.0, y=4.0, low=None, high=None, text="C", front=False),
    ]
    drawn = str(scatter(dots, x_label="time (s)", y_label="cost (EUR)"))
    assert re.findall(r'cx="([\d.]+)%" cy="([\d.]+)%"', drawn) == [("100.0", "0.0"), ("50.0", "50.0")]
    assert '<line class="ci" x1="50.0%" x2="50.0%" y1="62.5%" y2="0.0%"/>' in drawn
    assert "A &amp; B: 1.00, 2.00" in drawn
