"""`oildrop plan`: whether a benchmark fits a part and how long it takes at best, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oildrop.suite.cli import options, parsing
from oildrop.suite.cli.lazy import PlainCommand, make_app
from oildrop.suite.cli.numbers import count, show_bytes, show_duration, show_number, show_value
from oildrop.suite.cli.options import option
from oildrop.suite.cli.output import print_document, print_table, screen

if TYPE_CHECKING:
    from rich.console import Console

    from oildrop.rules.records import Scalar
    from oildrop.rules.rulebook import Benchmark, Rulebook
    from oildrop.suite.plan_compile import Wanted
    from oildrop.suite.plan_sizes import Job, Place, Sizes

app = make_app()

SHORT_S = 10.0
"""Times under this are shown with four digits, seconds."""


@app.command(cls=PlainCommand, epilog="Example: oildrop plan lm-pretrain --tier base --device 'NVIDIA H200'")
def plan(
    benchmark: Annotated[str, typer.Argument(metavar="BENCHMARK", show_default=False)],
    tier: Annotated[str, option("--tier", "T", "Size of the benchmark (nano).")] = "nano",
    device: Annotated[str | None, option("--device", "NAME", "A part of the rulebook (this machine's).")] = None,
    devices: Annotated[int, typer.Option("--devices", metavar="N", min=1, show_default=False,
        help="So many of them (1).")] = 1,
    settings: Annotated[list[str] | None, option("--set", "KEY=VALUE", "Change a setting (repeatable).")] = None,
    target: Annotated[str | None, option("--compile", "TARGET", "Compile it for TPU chips: tpu:v5e-4.")] = None,
    mesh: Annotated[str | None, option("--mesh", "data=N,model=M", "How the chips share it (chosen).")] = None,
    timeout: Annotated[float | None, option("--timeout", "S", "Longest to compile, seconds (1200).")] = None,
    as_json: options.Json = False,
) -> None:  # fmt: skip
    """Whether BENCHMARK fits a part, its least times by the roofline, and what to change if it does not fit.

    Nothing runs. Memory and traffic are formulas, peaks are the vendors'; communication is left out.
    """
    from oildrop.rules.errors import UsageError
    from oildrop.rules.loading import load_rulebook
    from oildrop.rules.settings import find_benchmark, resolve
    from oildrop.suite.cli.compiled import print_compiled
    from oildrop.suite.cli.plan_served import show_served
    from oildrop.suite.plan_compile import wanted
    from oildrop.suite.plan_served import served_sizes
    from oildrop.suite.plan_sizes import job_of

    rulebook = load_rulebook()
    found = find_benchmark(rulebook, benchmark)
    resolved = resolve(found, tier, "open", parsing.parse_settings(settings or ()))
    division = "closed" if all(found.is_free_in_closed(key) for key in resolved.changed) else "open"
    header = _header(found, tier, division, resolved.settings)
    if found.kind == "serve" and (target, mesh, timeout) == (None, None, None):
        place, why_none = _place(rulebook, device, devices)
        sizes = served_sizes(found, resolved.settings, place)
        show_served(header, place, sizes, why_none, as_json=as_json)
        return
    job = job_of(found, found.tiers[tier], resolved.settings)
    if target is not None:
        if device is not None or devices != 1:
            raise UsageError("--compile names the part and how many; leave --device and --devices out")
        plan = {"schema": "oildrop.plan-compile/1", **header, **_compiled(wanted(rulebook, job, target, mesh), timeout)}
        print_document(plan) if as_json else print_compiled(screen(), plan)
        return
    if mesh is not None or timeout is not None:
        raise UsageError("--mesh and --timeout are for compiling; name a target too, such as --compile tpu:v5e-4")
    reference = rulebook.reference_of(benchmark, tier) if not resolved.changed else None
    samples = _median(reference.samples_to_target) if reference else None
    _show_sizes(header, job, samples, *_place(rulebook, device, devices), as_json=as_json)


def _show_sizes(
    header: dict[str, Any], job: Job, samples: float | None, place: Place, why_none: str | None, *, as_json: bool
) -> None:
    """A training's memory and least times on `place`; `samples` to the target, None where no reference knows them."""
    from oildrop.suite.plan_sizes import sizes_of

    of_step = sizes_of(job, place, samples)
    document = {"schema": "oildrop.plan-sizes/1", **header, **_document(job, place, of_step, why_none)}
    if as_json:
        print_document(document)
    else:
        _print(document, place, of_step)


def _compiled(want: Wanted, timeout: float | None) -> dict[str, Any]:
    """What the compiler says of `want`, within `timeout` seconds."""
    from oildrop.suite.plan_compile import COMPILE_LIMIT_S, compile_plan, require_compiler

    limit_s = parsing.parse_seconds("--timeout", timeout) or COMPILE_LIMIT_S
    require_compiler()
    return compile_plan(want, limit_s=limit_s)


def _place(rulebook: Rulebook, device: str | None, devices: int) -> tuple[Place, str | None]:
    """The named part, else this machine's own; with why there is none."""
    from oildrop.suite.plan_device import find_part, own_part
    from oildrop.suite.plan_sizes import Place

    if device is not None:
        return Place(part=find_part(rulebook, device), count=devices), None
    from oildrop.harness.system.probe import probe_system

    part, why_none = own_part(rulebook, probe_system().accelerators)
    return Place(part=part, count=devices), why_none


def _median(samples: tuple[float, ...]) -> float:
    import statistics

    return statistics.median(samples)


def _header(benchmark: Benchmark, tier: str, division: str, settings: Mapping[str, Scalar]) -> dict[str, Any]:
    return {
        "benchmark": benchmark.name,
        "tier": tier,
        "division": division,
        "provisional": benchmark.tiers[tier].provisional,
        "dtype": settings.get("execution.dtype"),
    }


def _document(job: Job, place: Place, sizes: Sizes, why_none: str | None) -> dict[str, Any]:
    from oildrop.suite.plan_advice import advice

    part = place.part
    missing = dict(sizes.missing)
    if why_none:
        missing["device"] = why_none
    return {
        "device": part.name if part else None,
        "devices": place.count,
        "peak_flop_per_s": part.peak_flop_per_s.get(job.dtype) if part else None,
        "bandwidth_bytes_per_s": part.bandwidth_bytes_per_s if part else None,
        "memory_bytes": part.memory_bytes if part else None,
        "usable_bytes": place.usable_bytes,
        "parameters": job.size.parameters if job.size else None,
        "samples_per_step": job.batch,
        "tokens_per_sample": job.tokens_per_sample,
        "flops_per_token": job.flops_per_token,
        "flop_per_step": sizes.flop_per_step,
        "moved_bytes_per_step": sizes.moved_bytes,
        "memory": {layout: {**asdict(kinds), "total": kinds.total} for layout, kinds in sizes.memory.items()},
        "layout": sizes.layout,
        "fits": sizes.fits,
        "advice": advice(job, place, sizes),
        "cap_samples": job.last_samples,
        "cap_evaluations": sizes.cap_evaluations,
        "target_samples": sizes.target_samples,
        "reference_time_s": job.tier.reference_time_s,
        "times": [asdict(times) for times in sizes.times],
        "missing": missing,
    }


def _print(document: dict[str, Any], place: Place, sizes: Sizes) -> None:
    console = screen()
    _print_work(console, document)
    _print_memory(console, document, sizes)
    if place.part is not None:
        _print_times(console, document, sizes)
    else:
        console.print(f"\n{document['missing']['device']}, such as --device 'NVIDIA H200'")


def _print_work(console: Console, plan: dict[str, Any]) -> None:
    console.print(f"{plan['benchmark']} {plan['tier']}, division {plan['division']}, {plan['dtype']}")
    if plan["provisional"]:
        console.print(f"provisional, never ranked: {plan['provisional']}")
    tokens = plan["samples_per_step"] * plan["tokens_per_sample"]
    step = f"{plan['samples_per_step']:,} x {count(plan['tokens_per_sample'], 'token')} = {count(tokens, 'token')}"
    rows = [
        ("parameters", show_number(plan["parameters"]) if plan["parameters"] else "no formula"),
        ("a step", step),
        ("FLOPs a token", show_number(plan["flops_per_token"])),
        ("FLOPs a step", show_number(plan["flop_per_step"])),
        ("bytes moved a step, a device", _or_why(plan["moved_bytes_per_step"], show_bytes, plan, "moved_bytes")),
    ]
    if plan["device"]:
        peak = _or_why(plan["peak_flop_per_s"], lambda value: show_value(value, "FLOP/s"), plan, "step_s")
        bandwidth = plan["bandwidth_bytes_per_s"]
        shown = "bandwidth not stated" if bandwidth is None else f"{show_number(bandwidth / 1e9)} GB/s"
        rows.append(("devices", f"{plan['devices']} x {plan['device']}: {peak}, {shown}"))
    print_table(console, ("what", "amount"), rows)


def _print_memory(console: Console, plan: dict[str, Any], sizes: Sizes) -> None:
    console.print()
    if not sizes.memory:
        console.print(f"memory: {plan['missing']['memory']}")
        return
    kinds = list(next(iter(plan["memory"].values())))
    rows = [(kind.replace("_", " "), *(show_bytes(of[kind]) for of in plan["memory"].values())) for kind in kinds]
    layouts = list(plan["memory"])
    print_table(console, ("memory of a device", *layouts), rows, right=",".join(layouts))
    if sizes.fits is None:
        console.print(f"whether it fits is not known: {plan['missing']['fits']}")
        return
    verdict = f"it fits, {sizes.layout}" if sizes.fits else "it does not fit"
    total, usable = sizes.memory[str(sizes.layout)].total, plan["usable_bytes"]
    console.print(
        f"{verdict}: {show_bytes(total)} of the {show_bytes(usable)} that software leaves of "
        f"{show_bytes(plan['memory_bytes'])} (assumed: {100 * usable / plan['memory_bytes']:.0f} %)"
    )
    for change in plan["advice"]:
        console.print(f"  {change}")


def _print_times(console: Console, plan: dict[str, Any], sizes: Sizes) -> None:
    console.print()
    if plan["peak_flop_per_s"] is None:
        console.print(f"times: {plan['missing']['step_s']}")
        return
    end = f"{plan['cap_samples']:,} samples, {count(plan['cap_evaluations'], 'evaluation')}"
    rows = [("a step", "step_s"), (f"to the end at the latest ({end})", "cap_s")]
    if plan["target_samples"] is not None:
        median = show_number(plan["target_samples"])
        rows.append((f"to the target ({median} samples, the reference runs' median)", "target_s"))
    headings = [f"at {100 * times.mfu:.0f} % MFU" for times in sizes.times]
    cells = [(text, *(_seconds(getattr(times, name)) for times in sizes.times)) for text, name in rows]
    print_table(console, ("least time", *headings), cells, right=",".join(headings))
    if plan["target_samples"] is None:
        console.print(f"to the target: not known, {plan['missing']['target_s']}")


def _seconds(value: float) -> str:
    return f"{show_number(value)} s" if value < SHORT_S else show_duration(value)


def _or_why(value: Any, show: Any, plan: dict[str, Any], name: str) -> str:
    """The value in words, or why there is none."""
    return str(plan["missing"][name]) if value is None else str(show(value))
