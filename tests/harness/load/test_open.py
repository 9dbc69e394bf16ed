"""Queries that arrive by a schedule: on a clock that only the model's work moves, and with the real issuer."""

from __future__ import annotations

import time
from array import array
from typing import Any

import pytest

from oildrop.harness.load.increments import table_of
from oildrop.harness.load.issuer import Issuer
from oildrop.harness.load.ledger import Ledger
from oildrop.harness.load.open import open_loop
from oildrop.harness.load.plan import LoadPlan, load_plan, longest_answer_s
from oildrop.harness.null_serve import NullServe
from oildrop.rules.errors import UsageError
from oildrop.rules.evidence import RequestTable
from oildrop.rules.formulas.arrivals import arrivals_ns
from oildrop.rules.rulebook_parts import Bounds, Terms

STEP_NS = 1_000_000


class Machine:
    """A clock, a model whose step takes a millisecond, and arrivals that this clock brings."""

    def __init__(self, schedule_ns: tuple[int, ...], **model: Any) -> None:
        self.schedule_ns = schedule_ns
        self.issued_ns = array("q", schedule_ns)
        self.now_ns = 0
        self.progress = 0
        self.answered: int | None = None
        self.task = NullServe(self._work, **model)

    def _work(self, requests: int) -> None:
        self.now_ns += STEP_NS

    @property
    def released(self) -> int:
        return sum(due <= self.now_ns for due in self.schedule_ns)

    def wait(self, seen: int, seconds: float) -> None:
        self.now_ns = min(self.schedule_ns[seen], self.now_ns + round(seconds * 1e9))

    def run(self, **plan: Any) -> tuple[RequestTable, str]:
        made = LoadPlan(
            **{
                "scenario": "server",
                "minimum_ns": 1,
                "minimum_queries": 1,
                "samples_per_query": 1,
                "deadline_ns": 10**12,
                "drain_ns": 10**12,
                "schedule_ns": self.schedule_ns,
                **plan,
            }
        )
        ledger = Ledger(made.samples_per_query)
        ledger.follow(self.schedule_ns, self)
        stopped_by = open_loop(self.task, made, ledger, self, self, lambda: self.now_ns, 0)
        return table_of(ledger, self.task.size), stopped_by


def test_an_arrival_waits_for_the_step_that_runs() -> None:
    table, stopped_by = Machine((500, 2_500_000, 2_600_000), output_tokens=2).run()
    assert stopped_by == "minimum"
    assert table.first_ns == (1_000_500, 3_500_000, 4_500_000)  # the third came in the second's first step
    assert table.last_ns == (2_000_500, 4_500_000, 5_500_000)


def test_a_model_that_has_nothing_to_do_still_shows_that_it_lives() -> None:
    machine = Machine((10**9,))
    machine.run()
    assert machine.progress == 5  # a sign each quarter of a second, and the answer


def test_queries_of_several_requests_arrive_together() -> None:
    table, _ = Machine((0, 5 * STEP_NS)).run(samples_per_query=3)
    assert table.query == (0, 0, 0, 1, 1, 1)
    assert table.scheduled_ns == (0, 0, 0) + (5 * STEP_NS,) * 3


def test_a_queue_that_cannot_hold_the_bounds_is_given_up() -> None:
    schedule = tuple(range(0, 100 * STEP_NS, STEP_NS // 4))  # four arrive while one is answered
    table, stopped_by = Machine(schedule, slots=1).run(backlog_limit=30)
    assert stopped_by == "overflow"
    assert table.outcome.count("unfinished") == 31
    assert table.outcome.count("ok") == 10


def test_the_wait_for_the_last_answers_has_an_end() -> None:
    table, stopped_by = Machine((0, 0), output_tokens=50, slots=1).run(drain_ns=60 * STEP_NS)
    assert stopped_by == "drain"
    assert table.outcome == ("ok", "unfinished")
    assert table.output_tokens == (50, 11)


def test_the_deadline_ends_a_schedule() -> None:
    table, stopped_by = Machine((0, 10 * STEP_NS), output_tokens=3).run(deadline_ns=2 * STEP_NS)
    assert (stopped_by, table.outcome) == ("deadline", ("ok",))


def test_the_issuer_releases_in_order_and_never_early() -> None:
    schedule = tuple(arrivals_ns(1, 2000.0, 200))
    start_ns = time.monotonic_ns()
    seen = 0
    with Issuer(schedule, start_ns) as issuer:
        while seen < len(schedule):
            issuer.wait(seen, 1.0)
            assert issuer.released >= seen
            seen = issuer.released
            assert time.monotonic_ns() - start_ns >= schedule[seen - 1]
    assert all(issued >= due for issued, due in zip(issuer.issued_ns, schedule, strict=True))
    assert list(issuer.issued_ns) == sorted(issuer.issued_ns)


def test_an_issuer_can_be_called_off_while_it_waits() -> None:
    with Issuer((3600 * 10**9,), time.monotonic_ns()) as issuer:
        assert issuer.released == 0
    assert not issuer.is_alive()


TERMS = Terms(minimum_s=2.0, minimum_queries=10, percentile=0.99, bounds=Bounds(ttft_s=0.2, tpot_s=0.05))


def plan(terms: Terms = TERMS, scenario: str = "server", rate: float | None = 100.0) -> LoadPlan:
    return load_plan(
        scenario, terms, seed=5, rate_per_s=rate, concurrency=4, deadline_s=30.0, output_tokens=lambda index: index % 17
    )


def test_a_plan_has_the_rulebooks_arrivals_and_littles_limit() -> None:
    made = plan()
    assert made.schedule_ns == tuple(arrivals_ns(5, 100.0, len(made.schedule_ns)))
    assert made.schedule_ns[-2] < 2 * 10**9 <= made.schedule_ns[-1]
    assert made.backlog_limit == 10 + 4 * 100 * (0.2 + 0.05 * 15)
    assert made.streams == 1
    assert plan(scenario="concurrency", rate=None).streams == 4
    assert plan(TERMS.model_copy(update={"bounds": Bounds()})).backlog_limit is None


def test_the_longest_answer_is_that_of_the_tightest_bound() -> None:
    assert longest_answer_s(Bounds(latency_s=0.5, ttft_s=0.2, tpot_s=0.05), 11) == 0.5
    assert longest_answer_s(Bounds(latency_s=0.9, ttft_s=0.2, tpot_s=0.05), 11) == pytest.approx(0.7)
    assert longest_answer_s(Bounds(ttft_s=0.2), 11) is None


def test_a_schedule_without_a_rate_is_refused() -> None:
    with pytest.raises(UsageError, match="scenario interactive needs a rate"):
        plan(scenario="interactive", rate=None)
