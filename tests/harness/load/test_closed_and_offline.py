"""Scenarios without a schedule, on a clock that only the model's work moves: every time is worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from oildrop.harness.load.generate import generate
from oildrop.harness.load.increments import table_of
from oildrop.harness.load.ledger import Ledger
from oildrop.harness.load.plan import LoadPlan
from oildrop.harness.null_serve import NullServe
from oildrop.rules.evidence import RequestTable

STEP_NS = 1_000_000


class Machine:
    """A clock, a model whose step takes a millisecond, and what the generator told."""

    def __init__(self, **model: Any) -> None:
        self.now_ns = 7
        self.most_in_flight = 0
        self.progress = 0
        self.answered: int | None = None
        self.task = NullServe(self._work, **model)

    def _work(self, requests: int) -> None:
        self.now_ns += STEP_NS
        self.most_in_flight = max(self.most_in_flight, requests)

    def run(self, scenario: str, **plan: Any) -> tuple[RequestTable, str]:
        terms = {"minimum_ns": 10 * STEP_NS, "minimum_queries": 5, "samples_per_query": 1, "deadline_ns": 10**12}
        made = LoadPlan(scenario=scenario, **{**terms, **plan})
        ledger = Ledger(made.samples_per_query)
        stopped_by = generate(self.task, made, ledger, self, self.now_ns, lambda: self.now_ns)
        return table_of(ledger, self.task.size), stopped_by


def test_a_single_stream_issues_when_the_answer_before_is_complete() -> None:
    machine = Machine(output_tokens=3)
    table, stopped_by = machine.run("single-stream")
    assert stopped_by == "minimum"
    assert len(table.index) == 5  # 3 ms each: the minimum of 10 ms is over after the fourth, that of queries later
    assert table.scheduled_ns == table.issued_ns == tuple(3 * STEP_NS * number for number in range(5))
    assert table.first_ns == tuple(at + STEP_NS for at in table.issued_ns)
    assert table.last_ns == tuple(at + 3 * STEP_NS for at in table.issued_ns)
    assert table.gaps_ns == ((STEP_NS, STEP_NS),) * 5
    assert (machine.most_in_flight, machine.progress, machine.answered) == (1, 15, 5)


def test_it_goes_on_until_the_minimum_time_is_over() -> None:
    table, _ = Machine().run("single-stream", minimum_ns=9 * STEP_NS + 1)
    assert len(table.index) == 10


def test_a_query_of_many_is_over_with_its_slowest_answer() -> None:
    machine = Machine(output_tokens=2, slots=3)  # eight requests by threes: 6 steps a query
    table, _ = machine.run("multi-stream", samples_per_query=8, minimum_queries=2, minimum_ns=1)
    assert table.query == (0,) * 8 + (1,) * 8
    assert table.issued_ns == (0,) * 8 + (6 * STEP_NS,) * 8
    assert [at // STEP_NS for at in table.last_ns[:8] if at is not None] == [2, 2, 2, 4, 4, 4, 6, 6]


@pytest.mark.parametrize("streams", [1, 4, 7])
def test_never_more_are_in_flight_than_the_loop_holds(streams: int) -> None:
    machine = Machine(output_tokens=5)
    table, _ = machine.run("concurrency", streams=streams, minimum_queries=20)
    assert machine.most_in_flight == streams
    starts_and_ends = [(at, 1) for at in table.issued_ns] + [(at, -1) for at in table.last_ns if at is not None]
    in_flight = highest = 0
    for _, change in sorted(starts_and_ends):  # at one instant ends sort first: they make the room
        in_flight += change
        highest = max(highest, in_flight)
    assert (in_flight, highest) == (0, streams)
    assert len(table.index) >= 20


def test_each_answer_of_a_closed_loop_makes_room_at_once() -> None:
    table, _ = Machine(output_tokens=2, slots=1).run("concurrency", streams=2, minimum_ns=1)
    assert [at // STEP_NS for at in table.scheduled_ns] == [0, 0, 2, 4, 6]


def test_offline_never_runs_dry_before_its_time_and_answers_all() -> None:
    machine = Machine(slots=2)
    table, stopped_by = machine.run("offline", minimum_queries=4, minimum_ns=50 * STEP_NS)
    assert stopped_by == "minimum"
    assert set(table.outcome) == {"ok"}
    issued = [sum(at <= step * STEP_NS for at in table.issued_ns) for step in range(50)]
    assert all(count - 2 * step >= 2 for step, count in enumerate(issued))
    assert issued[:3] == [4, 8, 8]  # after the first step fewer than four are left, after the second four
    assert max(at for at in table.last_ns if at is not None) >= 50 * STEP_NS


def test_offline_takes_answers_in_any_order() -> None:
    machine = Machine()
    step = machine.task.step
    machine.task.step = lambda: step()[::-1]  # type: ignore[method-assign]
    table, _ = machine.run("offline", minimum_ns=1, minimum_queries=6)
    assert table.tokens == tuple((index,) for index in range(6))


@pytest.mark.parametrize("scenario", ["single-stream", "offline"])
def test_at_the_deadline_what_is_unanswered_stays_in_the_table(scenario: str) -> None:
    machine = Machine(output_tokens=100, slots=2)
    table, stopped_by = machine.run(scenario, deadline_ns=8 * STEP_NS)
    assert stopped_by == "deadline"
    assert set(table.outcome) == {"unfinished"}
    assert table.first_ns[0] == STEP_NS
    assert table.output_tokens[0] == 9
    assert table.gaps_ns[0] == (STEP_NS,) * 8


def test_what_came_before_a_failure_is_in_the_ledger() -> None:
    machine, ledger = Machine(output_tokens=2), Ledger()
    plan = LoadPlan(
        scenario="single-stream", minimum_ns=10**9, minimum_queries=5, samples_per_query=1, deadline_ns=10**12
    )
    work = machine._work

    def fails(requests: int) -> None:
        work(requests)
        if machine.progress == 5:
            raise MemoryError("full")

    machine.task._work = fails
    with pytest.raises(MemoryError):
        generate(machine.task, plan, ledger, machine, machine.now_ns, lambda: machine.now_ns)
    table = table_of(ledger, machine.task.size)
    assert table.outcome == ("ok", "ok", "unfinished")
    assert table.output_tokens == (2, 2, 1)
