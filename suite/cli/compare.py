"""`oildrop compare`: whether two configurations differ, and by how much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from oildrop.suite.cli import options
from oildrop.suite.cli.lazy import PlainCommand, make_app
from oildrop.suite.cli.output import print_document, print_table, screen
from oildrop.suite.cli.parsing import unknown_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oildrop.results.rows import RunRow
    from oildrop.rules.comparison import Side
    from oildrop.rules.comparison_sentences import Comparison

app = make_app()


@app.command(cls=PlainCommand, epilog="Example: oildrop compare RUN last --metric time_to_target_s")
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A run that stands for its whole configuration.")],
    b: Annotated[str, typer.Argument(metavar="B", help="A run of the configuration to set against it.")],
    metrics: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="NAME", show_default=False, help="Compare by this (repeatable; headline)."),
    ] = None,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Compare all runs of A's configuration with all runs of B's, failed ones included.

    Runs of the same seed are paired. A ratio above 1 means that A does better; where the runs are too few
    to say, the answer is "unresolved" and how many it would take. Where only execution.devices differs, it
    says the scaling efficiency too; where energy was measured, what a success costs. Energies of different
    scopes get no ratio.
    """
    from oildrop.results.ingest import refresh
    from oildrop.results.layout import store_layout
    from oildrop.results.views import find_run, list_runs
    from oildrop.rules.expected_energy import say_energies
    from oildrop.suite.cli.scaling import scaling_of, scaling_sentence
    from oildrop.suite.cli.sides import sides_of
    from oildrop.suite.cli.transfers import transfer_of, transfer_sentence

    _check_metrics(metrics or [])
    layout = store_layout(store)
    refresh(layout)
    chosen_a, chosen_b = find_run(layout, a), find_run(layout, b)
    side_a, side_b = sides_of(chosen_a, chosen_b, list_runs(layout))
    results = _compare(side_a, side_b, metrics or [])
    scaling = scaling_of((chosen_a, side_a), (chosen_b, side_b))
    energies = (side_a.energy_to_success(), side_b.energy_to_success())
    transfers = (transfer_of(side_a), transfer_of(side_b))
    if as_json:
        sides = {"a": _side_document(chosen_a, side_a), "b": _side_document(chosen_b, side_b)}
        expected = {"a": energies[0], "b": energies[1]}
        found: dict[str, Any] = {
            "comparisons": results,
            "scaling_efficiency": scaling,
            "expected_energy_to_success": expected,
            "transfer": {"a": transfers[0], "b": transfers[1]},
        }
        print_document({"schema": "oildrop.comparison/1", "store": layout.root, **sides, **found})
        return
    _print_comparisons(results)
    if scaling is not None:
        screen().print(scaling_sentence(scaling))
    for transfer in transfers:
        if transfer is not None:
            screen().print(transfer_sentence(transfer))
    spent = say_energies((side_a.label, side_b.label), energies)
    if spent is not None:
        screen().print(f"{spent}.")


def _check_metrics(names: Sequence[str]) -> None:
    from oildrop.rules.catalogue import CATALOGUE

    for name in names:
        if name not in CATALOGUE:
            raise unknown_name("metric", name, CATALOGUE)


def _compare(a: Side, b: Side, metrics: Sequence[str]) -> Sequence[Comparison]:
    from oildrop.rules import comparison

    if metrics:
        return comparison.compare_metrics(a, b, metrics)
    return (comparison.compare(a, b),)


def _side_document(chosen: RunRow, side: Side) -> dict[str, Any]:
    names = ("benchmark", "tier", "backend", "division", "workload_id", "system_id", "software_id", "set_id")
    spec = {name: getattr(chosen.spec, name) for name in names}
    return {"run_id": chosen.run_id, "label": side.label, "runs": len(side.runs), **spec}


def _print_comparisons(results: Sequence[Comparison]) -> None:
    console = screen()
    rows = [
        (
            result.metric,
            f"{result.a_ok}/{result.a_runs}",
            f"{result.b_ok}/{result.b_runs}",
            _ratio(result),
            result.verdict.replace("_", " "),
            result.method,
        )
        for result in results
    ]
    print_table(console, ("metric", "A ok", "B ok", "A over B", "verdict", "method"), rows)
    console.print()
    for result in results:
        console.print(result.sentence + ("" if result.sentence.endswith(".") else "."))


def _ratio(result: Comparison) -> str:
    if result.ratio is None:
        return "–"
    if result.ci95_low is None or result.ci95_high is None:
        return f"{result.ratio:.3f}"
    return f"{result.ratio:.3f} ({result.ci95_low:.3f} to {result.ci95_high:.3f})"
