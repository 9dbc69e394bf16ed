"""A plan of a network that answers in one pass, as one document and on the screen."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from oildrop.suite.cli.numbers import count, show_bytes, show_number
from oildrop.suite.cli.output import print_document, print_table, screen

if TYPE_CHECKING:
    from oildrop.suite.plan_served import ServedSizes
    from oildrop.suite.plan_sizes import Place


def show_served(
    header: dict[str, Any], place: Place, sizes: ServedSizes, why_none: str | None, *, as_json: bool
) -> None:
    """Print the answer for `place`; `why_none` says why there is no part."""
    document = _document(header, place, sizes, why_none)
    print_document(document) if as_json else _print(document, sizes)


def _document(header: dict[str, Any], place: Place, sizes: ServedSizes, why_none: str | None) -> dict[str, Any]:
    part = place.part
    return {
        "schema": "oildrop.plan-served/1",
        **header,
        "device": part.name if part else None,
        "memory_bytes": part.memory_bytes if part else None,
        "usable_bytes": place.usable_bytes,
        **asdict(sizes),
        "total_bytes": sizes.total_bytes,
        "missing": {**sizes.missing, **({"device": why_none} if why_none else {})},
    }


def _print(plan: dict[str, Any], sizes: ServedSizes) -> None:
    console = screen()
    console.print(f"{plan['benchmark']} {plan['tier']}, division {plan['division']}, {plan['dtype']}")
    if plan["provisional"]:
        console.print(f"provisional, never ranked: {plan['provisional']}")
    rows = [
        ("parameters", show_number(sizes.parameters)),
        ("requests in a full batch", show_number(sizes.slots)),
        (f"FLOPs a request of {count(sizes.input_tokens, 'input token')}", show_number(sizes.flop_per_request)),
        ("weights", show_bytes(sizes.weights_bytes)),
        ("activations of a full batch, at most", show_bytes(sizes.activation_bytes)),
    ]
    print_table(console, ("what", "amount"), rows)
    console.print()
    if sizes.fits is None:
        console.print(f"whether it fits is not known: {sizes.missing['fits']}")
    else:
        verdict = "it fits" if sizes.fits else "it does not fit; fewer requests at once: --set execution.slots=N"
        total, usable = show_bytes(sizes.total_bytes), show_bytes(plan["usable_bytes"])
        console.print(f"{verdict}: {total} of the {usable} that software leaves on {plan['device']}")
    if "times" in sizes.missing:
        console.print(f"times: {plan['missing'].get('device', sizes.missing['times'])}")
        return
    headings = [f"at {100 * times.mfu:.0f} % MFU" for times in sizes.times]
    lines = [("one request alone, s", "one_s"), ("a full batch, s", "batch_s"), ("requests/s", "requests_per_s")]
    cells = [(text, *(show_number(getattr(times, name)) for times in sizes.times)) for text, name in lines]
    print_table(console, ("bound by the roofline", *headings), cells, right=",".join(headings))
