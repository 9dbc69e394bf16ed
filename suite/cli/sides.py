"""From two runs to the two sides of a comparison: all runs of each one's configuration."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from oildrop.rules.errors import UsageError
from oildrop.suite.cli.parsing import setting_text

if TYPE_CHECKING:
    from oildrop.results.rows import RunRow
    from oildrop.rules.comparison import Side


def sides_of(a: RunRow, b: RunRow, rows: Iterable[RunRow]) -> tuple[Side, Side]:
    """The sides that `a` and `b` stand for, taken from `rows`.

    A configuration is benchmark, tier, division, backend, workload, system and software; two sets of the
    same configuration are told apart by their set.

    Raises:
        UsageError: Both runs belong to the same set, or one is a probe.
    """
    for row in (a, b):
        if row.spec.kind == "probe":
            raise UsageError(
                f"{row.run_id} is a probe of a search for the highest rate, and probes are not compared; name the run "
                "of kind serve that was made at the rate found (`oildrop runs` lists them)"
            )
    if a.spec.set_id == b.spec.set_id and configuration(a) == configuration(b):
        raise UsageError(
            f"{a.run_id} and {b.run_id} belong to the same set ({a.spec.set_id}): there is nothing to compare; "
            "name a run of another configuration (`oildrop runs` lists them)"
        )
    by_set = configuration(a) == configuration(b)
    name_a, name_b = _labels(a, b)
    everyone = list(rows)
    return _side(name_a, a, everyone, by_set=by_set), _side(name_b, b, everyone, by_set=by_set)


def configuration(row: RunRow) -> tuple[str, ...]:
    """What must be equal for runs to be taken together."""
    from oildrop.results.document import rate_given

    spec = row.spec
    place = (spec.benchmark, spec.tier, spec.division, spec.backend, spec.kind)
    return (*place, spec.workload_id, spec.system_id, spec.software_id, str(rate_given(spec)))


def _side(label: str, chosen: RunRow, rows: Iterable[RunRow], *, by_set: bool) -> Side:
    from oildrop.results.sides import side_of

    def belongs(row: RunRow) -> bool:
        if by_set:
            return row.spec.set_id == chosen.spec.set_id and configuration(row) == configuration(chosen)
        return configuration(row) == configuration(chosen)

    return side_of(label, [row for row in rows if belongs(row)])


def _labels(a: RunRow, b: RunRow) -> tuple[str, str]:
    """`A` and `B`, each with what tells it from the other: words where they differ, else ids."""
    traits_a, traits_b = traits_of(a), traits_of(b)
    if traits_a == traits_b:
        traits_a, traits_b = ids_of(a), ids_of(b)
    differing = [key for key in {**traits_a, **traits_b} if traits_a.get(key) != traits_b.get(key)]

    def label(letter: str, traits: dict[str, str]) -> str:
        words = [traits[key] for key in differing if key in traits]
        return f"{letter} ({', '.join(words)})" if words else letter

    return label("A", traits_a), label("B", traits_b)


def traits_of(row: RunRow) -> dict[str, str]:
    """What may tell its configuration from another, in words."""
    spec = row.spec
    traits = {"benchmark": f"{spec.benchmark} {spec.tier}", "backend": spec.backend, "division": spec.division}
    traits |= {key: f"{key} {setting_text(value) or 'empty'}" for key, value in spec.settings.items()}
    if spec.rate_per_s is not None:
        traits["rate"] = f"{spec.rate_per_s:g} queries/s"
    if row.system is not None:
        parts = [accelerator.model for accelerator in row.system.accelerators] or [row.system.cpu.model or "CPU"]
        traits["system"] = " + ".join(parts)
        traits["frameworks"] = ", ".join(f"{k} {v}" for k, v in sorted(row.system.software.frameworks.items()))
    return traits


def ids_of(row: RunRow) -> dict[str, str]:
    """What tells its configuration from another where no words do."""
    names = ("system_id", "software_id", "set_id")
    return {name: f"{name.removesuffix('_id')} {getattr(row.spec, name)}" for name in names}
