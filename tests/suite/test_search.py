"""The search for the highest rate, against systems whose highest rate is known."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from oildrop.rules.rulebook_parts import Terms
from oildrop.suite.search import STEP_DOWN, Done, Search, Step, bracket, next_step, search_of

rates = st.floats(min_value=0.01, max_value=1e6)


def search(first: float, *, finals: int, short: bool, least_per_s: float = 1e-9) -> Search:
    """A search at a tier of 10 s, or of 600 s, that may go down to `least_per_s`."""
    found = search_of(
        Terms(minimum_s=10.0 if short else 600.0, minimum_queries=64, percentile=0.99), first, finals=finals,
        deadline_s=3600.0,
    )  # fmt: skip
    return replace(found, least_per_s=least_per_s)


def carry_out(plan: Search, outcome_at: Callable[[float], str]) -> list[Done]:
    done: list[Done] = []
    while (step := next_step(plan, done)) is not None:
        assert len(done) < 100, "a search has to end"
        done.append(Done(step=step, outcome=outcome_at(step.rate_per_s)))
    return done


def probes_of(done: list[Done]) -> list[Done]:
    return [one for one in done if one.step.kind == "probe"]


def finals_of(done: list[Done]) -> list[Done]:
    return [one for one in done if one.step.kind == "serve"]


def holding_up_to(capacity: float) -> Callable[[float], str]:
    return lambda rate: "ok" if rate <= capacity else "target_missed"


@given(first=rates, capacity=rates, finals=st.integers(1, 5), short=st.booleans())
def test_a_system_with_a_limit_is_run_at_the_highest_rate_that_held(
    first: float, capacity: float, finals: int, short: bool
) -> None:
    plan = search(first, finals=finals, short=short)
    done = carry_out(plan, holding_up_to(capacity))
    probes = probes_of(done)
    low, high = bracket(probes)
    assert 1 <= len(probes) <= plan.most_probes
    assert low is None or low <= capacity
    assert high is None or high > capacity
    assert len({one.step.rate_per_s for one in probes}) == len(probes)
    if low is not None:
        assert [one.step.rate_per_s for one in finals_of(done)] == [low] * finals


@given(first=rates, off=st.floats(min_value=-3.5, max_value=3.5), finals=st.integers(1, 3))
def test_a_long_search_ends_within_its_resolution_of_the_limit(first: float, off: float, finals: int) -> None:
    capacity = first * 2.0**off  # At most four steps to bracket it, and as many halvings as are left.
    done = carry_out(search(first, finals=finals, short=False), holding_up_to(capacity))
    low, high = bracket(probes_of(done))
    assert low is not None and high is not None
    assert low <= capacity < high
    assert high / low <= 1.05 + 1e-9


def test_the_short_search_by_hand() -> None:
    done = carry_out(search(20.0, finals=1, short=True), holding_up_to(200.0))
    # 20 holds, 80 holds, 320 misses; then the run at 80.
    assert [one.step.rate_per_s for one in done] == [20.0, 80.0, 320.0, 80.0]
    assert [one.step.kind for one in done] == ["probe"] * 3 + ["serve"]
    done = carry_out(search(20.0, finals=1, short=True), holding_up_to(50.0))
    # 20 holds, 80 misses, the middle of both on a logarithmic scale is 40 and holds.
    assert [one.step.rate_per_s for one in done] == [20.0, 80.0, 40.0, 40.0]


def test_where_no_rate_holds_the_run_is_made_below_all_that_were_tried() -> None:
    done = carry_out(search(64.0, finals=1, short=True), lambda rate: "target_missed")
    assert [one.step.rate_per_s for one in probes_of(done)] == [64.0, 16.0, 4.0]
    assert [one.step.rate_per_s for one in finals_of(done)] == [1.0, 1.0 / STEP_DOWN]


def test_a_search_goes_no_lower_than_queries_can_be_waited_for() -> None:
    nano = Terms(minimum_s=10.0, minimum_queries=64, percentile=0.99)
    # 64 queries in four times 10 s are 1.6 a second; in half of an hour 0.0356.
    assert search_of(nano, 20.0, finals=1, deadline_s=300.0).least_per_s == 1.6
    long = Terms(minimum_s=600.0, minimum_queries=64, percentile=0.99)
    assert search_of(long, 20.0, finals=1, deadline_s=3600.0).least_per_s == 64 / 1800
    done = carry_out(search(20.0, finals=1, short=True, least_per_s=1.6), lambda rate: "target_missed")
    assert [(one.step.kind, one.step.rate_per_s) for one in done] == [
        ("probe", 20.0), ("probe", 5.0), ("probe", 1.6), ("serve", 1.6),
    ]  # fmt: skip


def test_a_final_that_misses_steps_down_once_and_all_are_kept() -> None:
    probes, finals = ["ok", "target_missed", "ok"], ["target_missed", "ok", "target_missed", "ok"]
    outcomes = iter(probes + finals)
    done = carry_out(search(10.0, finals=3, short=True), lambda rate: next(outcomes))
    # 10 holds, 40 misses, 20 holds; at 20 the first final misses, so the other two and one more at 16.
    assert [one.step.rate_per_s for one in done] == [10.0, 40.0, 20.0, 20.0, 16.0, 16.0, 16.0]
    assert len(finals_of(done)) == 3 + 1


def test_a_crash_says_nothing_of_the_rate_so_the_search_ends_at_it() -> None:
    done = carry_out(search(20.0, finals=1, short=True), lambda rate: "crash")
    assert [(one.step.kind, one.step.rate_per_s) for one in done] == [("probe", 20.0), ("serve", 20.0)]


def test_a_crash_after_a_rate_that_held_leaves_that_rate() -> None:
    done = carry_out(search(20.0, finals=1, short=True), lambda rate: "ok" if rate < 50 else "accuracy_fail")
    assert [(one.step.kind, one.step.rate_per_s) for one in done] == [
        ("probe", 20.0), ("probe", 80.0), ("serve", 20.0),
    ]  # fmt: skip


def test_an_invalid_run_is_above_the_limit_only_where_a_lower_rate_held() -> None:
    # A machine too busy for the generator is so at every rate: one probe, one run, both invalid.
    done = carry_out(search(20.0, finals=1, short=True), lambda rate: "invalid")
    assert [(one.step.kind, one.step.rate_per_s) for one in done] == [("probe", 20.0), ("serve", 20.0)]
    # A generator that cannot keep up with a high rate is no reason to stop below it.
    done = carry_out(search(20.0, finals=1, short=True), lambda rate: "ok" if rate < 200 else "invalid")
    assert [one.step.rate_per_s for one in done] == [20.0, 80.0, 320.0, 80.0]


@given(first=rates, capacity=rates, seed=st.integers(0, 10**6), short=st.booleans())
def test_a_noisy_system_never_leads_to_an_empty_bracket_nor_an_endless_search(
    first: float, capacity: float, seed: int, short: bool
) -> None:
    dice = random.Random(seed)

    def outcome(rate: float) -> str:
        return "ok" if rate * dice.lognormvariate(0, 0.3) <= capacity else dice.choice(["target_missed", "timeout"])

    plan = search(first, finals=1, short=short)
    done = carry_out(plan, outcome)
    low, high = bracket(probes_of(done))
    assert low is None or high is None or low < high
    assert len(probes_of(done)) <= plan.most_probes
    assert 1 <= len(finals_of(done)) <= 2


def test_a_rate_is_short_enough_to_be_typed_again() -> None:
    step = next_step(search(1 / 3, finals=1, short=True), [])
    assert step == Step(kind="probe", rate_per_s=0.333)
