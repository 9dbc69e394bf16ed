"""What a success costs in energy: failed attempts raise it, unlike scopes and unknown energies leave none."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oildrop.rules.expected_energy import expected_energy, say_energies
from oildrop.rules.statistics import expected_energy_to_success_j

JOULES = st.floats(1.0, 1e9)


def test_all_energy_is_divided_by_the_successes() -> None:
    found = expected_energy([(100.0, "node"), (300.0, "node"), (200.0, "node")], 2)
    assert (found.value_j, found.scope, found.reason) == (300.0, "node", None)


@given(st.lists(JOULES, min_size=1, max_size=20), JOULES)
def test_a_failing_run_raises_it_and_a_cheaper_success_lowers_it(energies: list[float], more: float) -> None:
    attempts: list[Any] = [(energy, "device") for energy in energies]
    base = expected_energy(attempts, len(energies)).value_j
    assert base is not None
    failed = expected_energy([*attempts, (more, "device")], len(energies)).value_j
    assert failed is not None and failed >= base and failed == pytest.approx(base + more / len(energies))
    succeeded = expected_energy([*attempts, (more, "device")], len(energies) + 1).value_j
    assert succeeded is not None and succeeded < failed


@pytest.mark.parametrize(
    ("attempts", "ok", "reason"),
    [
        ([], 0, "no run counts"),
        ([(5.0, "node")], 0, "no run succeeded"),
        ([(5.0, "node"), (None, None)], 1, "1 of 2 runs have no measured energy"),
        ([(5.0, "node"), (5.0, "device")], 2, "cover device and node, and scopes are never added"),
    ],
)
def test_nothing_is_expected_of_what_is_not_known(attempts: Any, ok: int, reason: str) -> None:
    found = expected_energy(attempts, ok)
    assert found.value_j is None and found.scope is None and reason in str(found.reason)


def test_an_energy_that_cannot_be_is_refused_in_its_unit() -> None:
    with pytest.raises(ValueError, match=r"energy -1.0 J is not a finite number"):
        expected_energy_to_success_j([-1.0], 1)


def test_two_sides_are_compared_at_one_scope_alone() -> None:
    a, b = expected_energy([(3000.0, "node")], 1), expected_energy([(2000.0, "node")], 1)
    assert say_energies(("A", "B"), (a, b)) == (
        "Energy a success costs, failed runs counted: A: 3000 J (node), B: 2000 J (node); A over B 1.5, "
        "of which no interval is claimed"
    )
    other, unknown = expected_energy([(5.0, "wall")], 1), expected_energy([(None, None)], 1)
    assert str(say_energies(("A", "B"), (a, other))).endswith("B: 5 J (wall); different scopes cannot be compared")
    assert str(say_energies(("A", "B"), (a, unknown))).endswith("B: unknown (1 of 1 runs have no measured energy)")
    assert say_energies(("A", "B"), (unknown, unknown)) is None
