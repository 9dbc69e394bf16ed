"""`oildrop compare`: which runs stand on which side, and what is said of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from oildrop.results import ingest, views
from oildrop.results.rows import RunRow
from oildrop.rules.comparison import Side, SideRun
from oildrop.rules.errors import UsageError
from oildrop.suite.cli.main import main
from oildrop.suite.cli.sides import sides_of
from oildrop.suite.cli.transfers import transfer_of, transfer_sentence

RowFactory = Callable[..., RunRow]
Capture = pytest.CaptureFixture[str]
BF16 = {"execution.dtype": "bf16", "execution.compile": "eager"}


@pytest.fixture
def rows(row: RowFactory) -> list[RunRow]:
    """Five runs a side, the same seeds, B exactly twice as fast; and a run of another tier."""
    times = (20.0, 21.0, 22.0, 20.5, 21.5)
    a = [row(time_s=time, run_id=f"a-{k}", seed=k) for k, time in enumerate(times)]
    b = [
        row(time_s=time / 2, run_id=f"b-{k}", seed=k, settings=BF16, workload_id="v" * 16, set_id="set-2")
        for k, time in enumerate(times)
    ]
    return [*a, *b, row(run_id="c-0", tier="smoke", set_id="set-3", kind="fixed_work")]


@pytest.fixture
def listed(rows: list[RunRow], monkeypatch: pytest.MonkeyPatch) -> list[RunRow]:
    """The rows as a store would give them."""
    monkeypatch.setattr(ingest, "refresh", lambda layout: [])
    monkeypatch.setattr(views, "list_runs", lambda layout: rows)
    monkeypatch.setattr(views, "find_run", lambda layout, name: next(row for row in rows if row.run_id == name))
    return rows


def test_a_run_stands_for_all_runs_of_its_configuration(rows: list[RunRow]) -> None:
    a, b = sides_of(rows[0], rows[5], rows)
    assert [run.seed for run in a.runs] == [0, 1, 2, 3, 4]
    assert [run.values["time_to_target_s"] for run in b.runs] == [10.0, 10.5, 11.0, 10.25, 10.75]


def test_sides_are_called_by_what_differs(rows: list[RunRow]) -> None:
    a, b = sides_of(rows[0], rows[5], rows)
    assert (a.label, b.label) == ("A (execution.dtype fp32)", "B (execution.dtype bf16)")


def test_a_setting_without_a_value_is_called_empty(row: RowFactory) -> None:
    chosen = [
        row(run_id=str(k), settings={"execution.draft": draft}, set_id=f"set-{k}")
        for k, draft in enumerate(("", "small"))
    ]
    a, b = sides_of(*chosen, chosen)
    assert (a.label, b.label) == ("A (execution.draft empty)", "B (execution.draft small)")


def test_two_runs_of_one_set_are_nothing_to_compare(rows: list[RunRow]) -> None:
    with pytest.raises(UsageError, match="same set"):
        sides_of(rows[0], rows[1], rows)


def test_two_sets_of_one_configuration_are_told_apart(row: RowFactory) -> None:
    mine = [row(run_id="x-1"), row(run_id="x-2", seed=2)]
    theirs = [row(run_id="y-1", set_id="set-9")]
    a, b = sides_of(mine[0], theirs[0], [*mine, *theirs])
    assert (len(a.runs), len(b.runs)) == (2, 1)
    assert "set-9" in b.label


def test_the_answer_is_a_ratio_with_interval_and_a_sentence(
    listed: list[RunRow], tmp_path: Path, capsys: Capture
) -> None:
    assert main(["compare", "b-0", "a-0", "--json", "--store", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "oildrop.comparison/1"
    [result] = found["comparisons"]
    assert (result["metric"], result["verdict"]) == ("time_to_target_s", "a_better")
    assert (result["unit"], result["a_count"], result["b_count"]) == ("pair", 5, 5)
    assert result["ratio"] == pytest.approx(2.0)
    assert main(["compare", "b-0", "a-0", "--store", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert result["sentence"] in shown
    assert "5/5" in shown and "a better" in shown


def test_unlike_workloads_are_refused(listed: list[RunRow], tmp_path: Path, capsys: Capture) -> None:
    assert main(["compare", "a-0", "c-0", "--store", str(tmp_path)]) == 2
    assert "smoke" in capsys.readouterr().err


def test_several_metrics_are_compared_at_once(listed: list[RunRow], tmp_path: Path, capsys: Capture) -> None:
    words = ["compare", "a-0", "b-0", "--metric", "time_to_target_s", "--metric", "power_w", "--json"]
    assert main([*words, "--store", str(tmp_path)]) == 0
    results = json.loads(capsys.readouterr().out)["comparisons"]
    assert [(result["metric"], result["verdict"]) for result in results] == [
        ("time_to_target_s", "b_better"),
        ("power_w", "no_claim"),
    ]


def test_what_a_pair_of_processes_sends_is_told_with_its_share_of_the_first_tokens_time() -> None:
    ran = [(1024.0, 0.004, 0.01), (3072.0, 0.006, 0.03), (None, None, 0.02)]
    runs = tuple(
        SideRun(
            seed=seed, session_id="s", system_id="s", outcome="ok", seeds_chosen=False,
            values=dict(zip(("transfer_bytes", "transfer_s", "ttft_s"), values, strict=True)),
        )
        for seed, values in enumerate(ran)
    )  # fmt: skip
    side = Side(label="B (tcp)", benchmark="t", benchmark_sha256="0", tier="nano", kind="serve", target=None, runs=runs)
    found = transfer_of(side)
    assert found is not None
    assert (found.runs, found.transfer_bytes, found.transfer_s, found.ttft_s) == (2, 2048.0, 0.005, 0.02)
    assert transfer_sentence(found) == (
        "B (tcp) sends a prompt's cache of 2 KiB to the process that decodes in 0.005 s, which is 25 % of its mean "
        "time to first token, 0.02 s (means of 2 runs)."
    )
    assert transfer_of(replace(side, runs=runs[2:])) is None
