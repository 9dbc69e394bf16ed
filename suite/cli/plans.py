"""A plan on the screen: what `oildrop run` would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from oildrop.suite.cli.numbers import count, show_bytes, show_duration
from oildrop.suite.cli.output import print_document, print_table, screen
from oildrop.suite.cli.parsing import setting_text

if TYPE_CHECKING:
    from rich.console import Console

    from oildrop.results.layout import StoreLayout
    from oildrop.rules.records import Limits
    from oildrop.suite.planning import PlannedSet
    from oildrop.suite.search import Search


def show_plan(planned: Sequence[PlannedSet], layout: StoreLayout, *, as_json: bool) -> None:
    """Print the plan; nothing is written or run."""
    if as_json:
        sets = [_set_document(entry) for entry in planned]
        print_document({"schema": "oildrop.plan/1", "store": layout.root, "sets": sets})
        return
    console = screen()
    for entry in planned:
        _print_set(console, entry)
        console.print()
    console.print(f"Nothing was run or written. The runs would be kept in {layout.root}.")


def expected_s(planned: PlannedSet) -> float | None:
    """Seconds of a set by the rulebook's reference time; None where it names none, 0 where it cannot run."""
    if planned.unsupported_reason:
        return 0.0
    probes = planned.search.most_probes if planned.search else 0
    return None if planned.expected_s is None else planned.expected_s * (probes + len(planned.specs))


def _set_document(planned: PlannedSet) -> dict[str, Any]:
    return {
        "benchmark": planned.benchmark,
        "tier": planned.tier,
        "backend": planned.backend,
        "backend_why": planned.backend_why,
        "division": planned.division,
        "unsupported_reason": planned.unsupported_reason,
        "expected_s": expected_s(planned),
        "search": None if planned.search is None else asdict(planned.search),
        "runs": planned.specs,
    }


def _print_set(console: Console, planned: PlannedSet) -> None:
    console.print(
        f"{planned.benchmark} {planned.tier}, division {planned.division}, on {planned.backend} "
        f"({planned.backend_why}): {count(len(planned.specs), 'run')}"
    )
    if planned.unsupported_reason:
        console.print(f"cannot run here: {planned.unsupported_reason}; it would be recorded as unsupported")
    console.print(f"expected time: {_expected_text(planned)}")
    if not planned.specs:
        return
    first = planned.specs[0]
    if planned.search is not None:
        console.print(_search_text(planned.search, first.scenario))
    console.print(f"limits of a run: {_limits_text(first.limits)}")
    console.print(f"seeds: {', '.join(_seed_text(spec.seed, spec.seed_index) for spec in planned.specs)}")
    rows = [(key, setting_text(value), _change_text(first.changed.get(key))) for key, value in first.settings.items()]
    print_table(console, ("setting", "value", "changed"), rows)


def _search_text(search: Search, scenario: str | None) -> str:
    """How the rate is found, for a person who waits."""
    return (
        f"rate of {scenario}: searched from {search.first_per_s:g} queries/s in {search.most_probes} probes at most, "
        f"each a run that is kept; then {count(search.finals, 'run')} at the highest that held (--rate gives it)"
    )


def _expected_text(planned: PlannedSet) -> str:
    seconds = expected_s(planned)
    if seconds is None:
        return "not known; the rulebook names no reference time for this tier"
    work = "serving" if planned.specs and planned.specs[0].kind == "serve" else "training"
    most = "at most" if planned.search else "about"
    return f"{most} {show_duration(seconds)} of {work} on the reference machine, set-up of each run beside it"


def _limits_text(limits: Limits) -> str:
    memory = "no memory limit" if limits.memory_bytes is None else f"memory {show_bytes(limits.memory_bytes)}"
    return (
        f"{show_duration(limits.deadline_s)} in all, {show_duration(limits.heartbeat_s)} of silence, "
        f"{show_duration(limits.stall_s)} without progress, {memory}"
    )


def _seed_text(seed: int, index: int | None) -> str:
    return str(seed) if index is None else f"{seed} (number {index})"


def _change_text(change: tuple[Any, Any] | None) -> str:
    return "" if change is None else f"from {setting_text(change[0])}"
