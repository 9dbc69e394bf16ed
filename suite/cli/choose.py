"""`oildrop choose`: the best configuration of a store within bounds, and how surely it is the one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from oildrop.suite.cli import options
from oildrop.suite.cli.lazy import PlainCommand, make_app
from oildrop.suite.cli.output import print_document, print_table, screen
from oildrop.suite.cli.pricing import (
    ElectricityOption,
    GridOption,
    PriceOption,
    PricesOption,
    Pricing,
    ProviderOption,
    pricing_document,
)

if TYPE_CHECKING:
    from rich.console import Console

    from oildrop.results.costs import Economics
    from oildrop.rules.choice import Entry
    from oildrop.rules.costing import Value
    from oildrop.suite.choose import Answer

app = make_app()

MOST_LEFT_OUT = 20
"""Lines of configurations that were left out; the document holds all."""


@app.command(cls=PlainCommand, epilog="Example: oildrop choose lm-generate --max ttft_s_p99=0.5 --minimize cost")
def choose(
    benchmark: Annotated[str, typer.Argument(metavar="BENCHMARK")],
    tier: Annotated[str | None, options.option("--tier", "TIER", "Which tier (the one that has runs).")] = None,
    scenario: Annotated[str | None, options.option("--scenario", "S", "Which scenario (each that has runs).")] = None,
    most: Annotated[list[str] | None, options.option("--max", "M=V", "Metric M is V at most (repeatable).")] = None,
    least: Annotated[list[str] | None, options.option("--min", "M=V", "Metric M is V at least (repeatable).")] = None,
    minimize: Annotated[str | None, options.option("--minimize", "M", "The least of metric M, or of cost.")] = None,
    maximize: Annotated[str | None, options.option("--maximize", "M", "The most of metric M.")] = None,
    price: PriceOption = None,
    prices: PricesOption = None,
    provider: ProviderOption = None,
    electricity: ElectricityOption = None,
    grid: GridOption = None,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Choose among all configurations of a store; failed runs count."""
    from oildrop.results.ingest import refresh
    from oildrop.results.layout import store_layout
    from oildrop.results.views import list_runs
    from oildrop.rules.loading import load_rulebook
    from oildrop.suite.choose import Question, answers
    from oildrop.suite.cli.runs import check_benchmark

    objective, sense = _objective(minimize, maximize)
    layout = store_layout(store)
    refresh(layout)
    rows = list_runs(layout, benchmark=benchmark)
    if not rows:
        check_benchmark(layout, benchmark)
    pricing = Pricing(price=price or (), prices=prices, provider=provider, electricity=electricity, grid=grid)
    economics = pricing.economics([row.spec.system_id for row in rows])
    question = Question(
        benchmark=benchmark,
        tier=tier,
        scenario=scenario,
        bounds=(*((text, "max") for text in most or ()), *((text, "min") for text in least or ())),
        objective=objective,
        sense=sense,
    )
    found = answers(question, rows, economics, load_rulebook())
    if as_json:
        told = [_document(benchmark, each) for each in found]
        head = {"schema": "oildrop.choose/1", "store": layout.root, "pricing": pricing_document(economics)}
        print_document({**head, "answers": told})
        return
    for number, each in enumerate(found):
        _print(screen(), each, economics, several=len(found) > 1, first=number == 0)


def _objective(minimize: str | None, maximize: str | None) -> tuple[str, Any]:
    from oildrop.rules.errors import UsageError

    if (minimize is None) == (maximize is None):
        raise UsageError("say what to choose by: --minimize METRIC (or cost) or --maximize METRIC, one of the two")
    return (minimize, "min") if minimize is not None else (str(maximize), "max")


def _document(benchmark: str, found: Answer) -> dict[str, Any]:
    from dataclasses import asdict

    choice = found.choice
    names = ("backend", "division", "workload_id", "system_id", "software_id")
    places = {
        key: {
            "run_id": row.run_id,
            **{name: getattr(row.spec, name) for name in names},
            "price_per_hour": found.rates[key].per_hour,
            "price": found.rates[key].source or found.rates[key].why,
        }
        for key, row in found.rows.items()
    }
    return {
        "benchmark": benchmark,
        "tier": found.tier,
        "scenario": found.scenario,
        "objective": found.objective,
        "constraints": [asdict(constraint) for constraint in found.constraints],
        "winner": choice.winner,
        "sentence": choice.sentence,
        "frontier": [entry.key for entry in choice.entries if entry.on_frontier],
        "entries": choice.entries,
        "rivals": choice.rivals,
        "left_out": choice.left_out,
        "configurations": places,
    }


def _print(console: Console, found: Answer, economics: Economics, *, several: bool, first: bool) -> None:
    choice = found.choice
    if not first:
        console.print()
    console.print(f"Scenario {found.scenario}: {choice.sentence}." if several else f"{choice.sentence}.")
    if choice.entries:
        names = list(dict.fromkeys([found.objective, *(each.metric for each in found.constraints), "success_rate"]))
        console.print()
        headings = ["", "configuration", *names, "bounds held", "run"]
        print_table(console, headings, [_cells(entry, names) for entry in choice.entries], whole="run")
        console.print("* on the frontier: no other is as good in all of this and better in some")
    told = [rival.comparison.sentence for rival in choice.rivals if not rival.told]
    if told:
        console.print()
        for sentence in told[:5]:
            console.print(f"{sentence.rstrip('.')}.")
    _print_left_out(console, found)
    if "cost" in found.objective or any("cost" in each.metric for each in found.constraints):
        _print_prices(console, found, economics)


def _cells(entry: Entry, names: list[str]) -> tuple[str, ...]:
    return (
        "*" if entry.on_frontier else "",
        entry.label,
        *(show_metric(entry.values[name]) for name in names),
        entry.certainty or "no bounds",
        entry.key,
    )


def show_metric(value: Value) -> str:
    """A value with its unit and interval, and what it covers where that is not all."""
    from oildrop.suite.cli.numbers import show_number, show_value

    if value.value is None:
        return f"– ({value.reason})"
    text = show_value(value.value, value.unit)
    if value.low is not None and value.high is not None:
        scale = 100 if value.unit == "1" else 1
        text += f" ({show_number(scale * value.low)} to {show_number(scale * value.high)})"
    return text if value.scope in ("run", "configuration", "process") else f"{text}, {value.scope}"


def _print_left_out(console: Console, found: Answer) -> None:
    left = found.choice.left_out
    if not left:
        return
    console.print("\nLeft out:")
    for each in left[:MOST_LEFT_OUT]:
        console.print(f"  {each.label} ({each.key}): {each.reason}")
    if len(left) > MOST_LEFT_OUT:
        console.print(f"  and {len(left) - MOST_LEFT_OUT} more: --json has all")


def _print_prices(console: Console, found: Answer, economics: Economics) -> None:
    from oildrop.suite.cli.numbers import show_number

    console.print()
    said = {
        f"{show_number(rates.per_hour)} {rates.currency}/h ({rates.source})"
        for rates in found.rates.values()
        if rates.per_hour is not None
    }
    for text in sorted(said):
        console.print(f"price: {text}")
    if economics.electricity_per_kwh is not None:
        amount = f"{show_number(economics.electricity_per_kwh)} {economics.prices.currency}/kWh"
        console.print(f"electricity: {amount}, added where the price does not hold it")
