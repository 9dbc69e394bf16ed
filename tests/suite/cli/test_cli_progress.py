"""What is shown while runs are made, and how long they are said to take."""

from __future__ import annotations

import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from oildrop.results.rows import RunRow
from oildrop.rules.records import RunSpec
from oildrop.suite.cli import progress
from oildrop.suite.cli.progress import LineProgress, LiveProgress, how_far, make_progress, what_is_left
from oildrop.suite.cli.remaining import expected_train_s, run_left_s, set_left_s


@pytest.fixture(autouse=True)
def no_reference_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "usual_samples", lambda spec: None)


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=80, height=24, color_system=None, markup=False)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def planned(**changes: Any) -> Any:
    fields = {"benchmark": "lm-pretrain", "tier": "nano", "backend": "torch-cpu", "unsupported_reason": None}
    return SimpleNamespace(**{**fields, **changes})


def test_a_run_has_left_what_it_is_expected_to_take_less_what_it_took() -> None:
    assert run_left_s(8.0, 20.0) == 12.0
    assert run_left_s(25.0, 20.0) is None
    assert run_left_s(8.0, None) is None


def test_training_takes_the_usual_samples_at_this_machines_own_rate() -> None:
    rate = {"samples": 2500, "elapsed_s": 30.0}  # a quarter of 10,000 in 30 s
    assert expected_train_s(**rate, usual_samples=10_000.0, reference_s=20.0) == 120.0
    assert expected_train_s(**rate, usual_samples=None, reference_s=20.0) == 20.0
    assert expected_train_s(samples=0, elapsed_s=1.0, usual_samples=10_000.0, reference_s=20.0) == 20.0


def test_a_set_adds_its_later_runs_at_the_mean_of_those_that_ended() -> None:
    assert set_left_s(run_left=12.0, run_wall_s=10.0, runs_after=3, took_s=[20.0, 30.0]) == 12.0 + 3 * 25.0


def test_a_set_without_a_finished_run_takes_this_one_as_its_measure() -> None:
    assert set_left_s(run_left=12.0, run_wall_s=10.0, runs_after=3, took_s=[]) == 12.0 + 3 * 22.0


def test_nobody_knows_what_a_set_has_left_when_its_run_is_unknown() -> None:
    assert set_left_s(run_left=None, run_wall_s=10.0, runs_after=3, took_s=[20.0]) is None


def test_how_far_names_samples_quality_and_target() -> None:
    assert (
        how_far(41000, 120000, 0.6123, 0.5) == "train: 41,000 of at most 120,000 samples, quality 0.6123 (target 0.5)"
    )
    assert how_far(64, None, None, None) == "train: 64 samples"


def test_what_is_left_leaves_out_what_nobody_knows() -> None:
    assert what_is_left(12.0, 9.0, 70.0) == "12 s so far; about 9 s left, the set about 1 min 10 s"
    assert what_is_left(12.0, None, None) == "12 s so far"
    assert what_is_left(12.0, None, None, overdue=True) == "12 s so far, longer than usual"


def test_off_a_terminal_only_finished_runs_and_messages_are_lines(row: Callable[..., RunRow]) -> None:
    console = Console(file=io.StringIO(), width=1000, markup=False)
    with make_progress(console, 1) as shown:
        assert type(shown) is LineProgress
        shown.set_started(planned())
        shown.run_started(row().spec, 2, 5)
        shown.phase("init")
        shown.trained(64, 1000, 0.6, 0.5, 3.0, 10.0)
        shown.run_ended(row())
        shown.run_ended(row("crash", reason="exit status 3 [sic]"))
        shown.message("one [message]")
    assert text_of(console).splitlines() == [
        "● ok  lm-pretrain nano torch-cpu  run 2 of 5  time to target 21.3 s  20260102t030405-aaaa",
        "✖ crash  lm-pretrain nano torch-cpu  run 2 of 5  exit status 3 [sic]  20260102t030405-aaaa",
        "one [message]",
    ]


def test_a_set_that_cannot_run_says_why(row: Callable[..., RunRow]) -> None:
    console = Console(file=io.StringIO(), width=1000, markup=False)
    LineProgress(console, 1).set_started(planned(backend="torch-cuda", unsupported_reason="no CUDA device"))
    assert text_of(console) == "lm-pretrain nano on torch-cuda: no CUDA device\n"


def test_on_a_terminal_the_status_says_where_how_far_and_how_long(spec: Callable[..., RunSpec]) -> None:
    console, clock = terminal(), Clock()
    with LiveProgress(console, 2, clock) as shown:
        shown.set_started(planned())
        shown.run_started(spec(), 1, 5)
        clock.now_s += 10.0
        shown.trained(4096, 100000, 0.75, 0.5, 8.0, 20.0)
    text = text_of(console)
    assert "lm-pretrain nano on torch-cpu, set 1 of 2, run 1 of 5" in text
    assert "4,096 of at most 100,000 samples, quality 0.75 (target 0.5)" in text
    assert "8 s so far; about 12 s left, the set about 1 min 40 s" in text  # 12 + 4 x (10 + 12)


def test_a_served_run_says_how_many_were_answered_and_what_is_left(spec: Callable[..., RunSpec]) -> None:
    console, clock = terminal(), Clock()
    settings = {"scenario.name": "server"}
    with LiveProgress(console, 1, clock) as shown:
        shown.set_started(planned(expected_s=12.0))
        shown.run_started(spec(kind="probe", rate_per_s=40.0, settings=settings), 2, 4)
        clock.now_s += 5.0
        shown.served(1, 3.0)
        clock.now_s += 5.0
        shown.served(200, 4.0)
    text = text_of(console)
    assert "server at 40 queries/s on torch-cpu, set 1 of 1, probe 2 of" in text
    assert "serve: 1 request answered" in text
    assert "serve: 200 requests answered" in text
    assert "4 s so far; about 8 s left" in text


def test_finished_runs_teach_the_estimate_and_a_new_set_forgets(row: Callable[..., RunRow]) -> None:
    console, clock = terminal(), Clock()
    shown = LiveProgress(console, 2, clock)
    with shown:
        shown.set_started(planned())
        shown.run_started(row().spec, 1, 3)
        clock.now_s += 40.0
        shown.run_ended(row())
        shown.run_started(row().spec, 2, 3)
        clock.now_s += 5.0
        shown.trained(64, None, None, None, 4.0, 10.0)
        assert "about 6 s left, the set about 46 s" in text_of(console)
        shown.set_started(planned())
        shown.run_started(row().spec, 1, 2)
        clock.now_s += 5.0
        shown.trained(64, None, None, None, 4.0, 10.0)
    assert "about 6 s left, the set about 17 s" in text_of(console)  # 6 + (5 + 6)


def test_reference_runs_teach_the_estimate(spec: Callable[..., RunSpec], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "usual_samples", lambda spec: 8192.0)
    console, clock = terminal(), Clock()
    with LiveProgress(console, 1, clock) as shown:
        shown.run_started(spec(), 1, 1)
        shown.trained(4096, 100000, 0.75, 0.5, 30.0, 20.0)
        clock.now_s += 60.0
        shown.trained(9000, 100000, 0.75, 0.5, 90.0, 20.0)
    text = text_of(console)
    assert "30 s so far; about 30 s left" in text
    assert "1 min 30 s so far, longer than usual" in text


def test_the_terminal_is_drawn_at_most_twice_a_second(spec: Callable[..., RunSpec]) -> None:
    console, clock = terminal(), Clock()
    shown = LiveProgress(console, 1, clock)
    drawn: list[float] = []
    with shown:
        shown.run_started(spec(), 1, 1)
        shown._live.update = lambda *_, **__: drawn.append(clock.now_s)  # type: ignore[method-assign]
        for _ in range(100):
            shown.trained(64, None, None, None, 1.0, None)
            clock.now_s += 0.02
    assert len(drawn) == pytest.approx(4, abs=1)


def test_no_thread_draws_beside_the_measurement() -> None:
    shown = LiveProgress(terminal(), 1, Clock())
    assert shown._live.auto_refresh is False
