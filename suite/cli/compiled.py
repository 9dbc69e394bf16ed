"""What a compiler says of a benchmark's step, on a screen: memory, exchanges between chips, counts, and times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oildrop.suite.cli.numbers import count, show_bytes, show_duration, show_number
from oildrop.suite.cli.output import print_table

if TYPE_CHECKING:
    from rich.console import Console

KINDS = ("arguments", "outputs", "aliased", "temporaries", "code", "total")

MEANT = {
    "arguments": "arguments (state and batch)",
    "aliased": "aliased (outputs in the place of arguments)",
    "total": "total",
}
"""Rows of the memory whose word alone does not tell."""


def print_compiled(console: Console, plan: dict[str, Any]) -> None:
    """The document of `suite.plan_compile` in words."""
    mesh = plan["mesh"]
    state = "state sharded along data" if mesh["sharded"] else "state whole along data"
    console.print(f"{plan['benchmark']} {plan['tier']}, {plan['dtype']}, compiled for {plan['target']}, not run")
    if plan["provisional"]:
        console.print(f"provisional, never ranked: {plan['provisional']}")
    console.print(
        f"{plan['topology']}: {count(plan['chips'], 'chip')} {plan['device']}, "
        f"mesh data={mesh['data']},model={mesh['model']}, {state}"
    )
    if plan["compiled_only"]:
        console.print("a layout that can be compiled only: `oildrop run` in JAX shares samples, with whole state")
    console.print(
        f"jax {plan['jax']}, libtpu {plan['libtpu']}: compiled in {show_duration(plan['compile_s'])} "
        f"after {show_duration(plan['lower_s'])} of tracing"
    )
    console.print()
    _print_memory(console, plan)
    _print_counts(console, plan)
    _print_times(console, plan)


def _print_memory(console: Console, plan: dict[str, Any]) -> None:
    by_formula, capacity = plan["formula_bytes"], plan["memory_bytes"]
    rows = [(MEANT.get(kind, kind), show_bytes(plan["memory"][kind])) for kind in KINDS] if plan["memory"] else []
    if by_formula is not None:
        rows.append(("by our formula, before compiling", show_bytes(by_formula)))
    if capacity is not None:
        rows.append(("the chip has", show_bytes(capacity)))
    print_table(console, ("memory of a chip", "bytes"), rows, right="bytes")
    console.print("it fits" if plan["fits"] else f"it does not fit: {plan['refused'] or 'more than the chip has'}")
    for change in plan["advice"]:
        console.print(f"  {change}")


def _print_counts(console: Console, plan: dict[str, Any]) -> None:
    console.print()
    rows = [
        ("FLOPs of a step", show_number(plan["flop_per_step"]), _or_dash(plan["xla_flop_per_step"], show_number)),
        (
            "bytes moved a step, a chip",
            _or_dash(plan["moved_bytes"], show_bytes),
            _or_dash(plan["xla_moved_bytes"], show_bytes),
        ),
    ]
    print_table(console, ("amount", "by formula", "XLA counts"), rows, right="by formula,XLA counts")
    console.print("XLA's counts stand beside ours and enter nothing.")
    if plan["collectives"] is not None:
        found = [f"{number} {kind}" for kind, number in plan["collectives"].items() if number]
        console.print(f"exchanges between chips a step: {', '.join(found) or 'none'}")
    else:
        console.print(f"exchanges between chips: not counted, {plan['missing']['collectives']}")


def _print_times(console: Console, plan: dict[str, Any]) -> None:
    if not plan["times"]:
        console.print(f"times: {plan['missing']['times']}")
        return
    shown = [f"{show_number(each['step_s'])} s at {100 * each['mfu']:.0f} % MFU" for each in plan["times"]]
    console.print(f"least time of a step by the roofline, exchanges left out: {', '.join(shown)}")


def _or_dash(value: Any, show: Any) -> str:
    """The value in words; a dash where the program was refused."""
    return "–" if value is None else str(show(value))
