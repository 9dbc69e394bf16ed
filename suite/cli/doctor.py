"""`oildrop doctor`: what would spoil a run on this machine, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oildrop.suite.cli import options
from oildrop.suite.cli.lazy import PlainCommand, make_app
from oildrop.suite.cli.numbers import count
from oildrop.suite.cli.output import print_document, screen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from oildrop.harness.doctor.point import Advice

app = make_app()

MARKS = {"bad": ("✖", "red"), "warn": ("⚠", "yellow"), "unknown": ("?", "dim"), "good": ("●", "green")}
"""Shape and colour by status, worst first."""


@app.command(cls=PlainCommand)
def doctor(store: options.Store = None, as_json: options.Json = False) -> None:
    """What would spoil a run on this machine: load, noise, limits, clocks, heat, power, meters.

    Each point says what was read and what to do. Nothing is changed.
    """
    from oildrop.harness.doctor.examine import examine
    from oildrop.results.layout import store_layout

    layout = store_layout(store)
    advice = sorted(examine(layout.root), key=lambda entry: list(MARKS).index(entry.status))
    if as_json:
        counts = {status: sum(entry.status == status for entry in advice) for status in MARKS}
        print_document({"schema": "oildrop.doctor/1", "store": layout.root, "counts": counts, "advice": advice})
    else:
        _print_advice(screen(), advice)


def _print_advice(console: Console, advice: Sequence[Advice]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    for entry in advice:
        mark, style = MARKS[entry.status]
        head = Text(f"{mark} {entry.status}", style=style)
        head.append(f"  {entry.what}", style="default")
        console.print(head)
        console.print(Padding(entry.evidence, (0, 0, 0, 4), expand=False))
        if entry.fix:
            console.print(Padding(f"what to do: {entry.fix}", (0, 0, 0, 4), expand=False))
    console.print(f"\n{_verdict(advice)}")


def _verdict(advice: Sequence[Advice]) -> str:
    bad = sum(entry.status == "bad" for entry in advice)
    warned = sum(entry.status == "warn" for entry in advice)
    if not bad and not warned:
        return "Nothing here would spoil a run."
    return f"{count(bad, 'point')} would spoil a run, {count(warned, 'point')} would touch it."
