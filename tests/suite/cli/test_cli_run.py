"""`oildrop run`: what is asked for, what is printed, and how it exits; the runs themselves are made up."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from oildrop.results.rows import RunRow
from oildrop.suite import execute as execution
from oildrop.suite import planning
from oildrop.suite.cli.main import main
from oildrop.suite.cli.reports import summary_sentence
from oildrop.suite.execute import ExecutionReport

Capture = pytest.CaptureFixture[str]
RowFactory = Callable[..., RunRow]


class Stage:
    """Stands where planning and execution stand: keeps what was asked, gives back `rows`."""

    def __init__(self, row: RowFactory) -> None:
        self.row = row
        self.rows: list[RunRow] = []
        self.cancelled = False
        self.raises: BaseException | None = None
        self.requests: list[planning.RunRequest] = []
        self.created: list[bool] = []
        self.executed = 0

    def plan(self, request: planning.RunRequest, layout: Any, *, create: bool = False) -> list[Any]:
        self.requests.append(request)
        self.created.append(create)
        return [
            SimpleNamespace(
                benchmark="lm-pretrain",
                tier="nano",
                backend="torch-cpu",
                division="closed",
                specs=tuple(self.row(run_id=f"run-{k}", seed=50 + k, seed_index=k).spec for k in range(2)),
                unsupported_reason=None,
                backend_why="first that can run here",
                expected_s=20.0,
                search=None,
            )
        ]

    def execute(self, plan: list[Any], layout: Any, progress: Any) -> ExecutionReport:
        self.executed += 1
        progress.set_started(plan[0])
        for number, row in enumerate(self.rows, start=1):
            progress.run_started(row.spec, number, len(self.rows))
            progress.phase("train")
            progress.trained(64, 1000, 0.7, 0.5, 1.0, 20.0)
            progress.run_ended(row)
        if self.raises:
            raise self.raises
        return ExecutionReport(rows=self.rows, cancelled=self.cancelled)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, row: RowFactory) -> Stage:
    made = Stage(row)
    monkeypatch.setattr(planning, "plan", made.plan)
    monkeypatch.setattr(execution, "execute", made.execute)
    return made


def rows_ending(row: RowFactory, *outcomes: str) -> list[RunRow]:
    return [row(outcome, run_id=f"run-{k}", seed=50 + k, seed_index=k) for k, outcome in enumerate(outcomes)]


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        (["ok", "ok"], 0),
        (["ok", "target_missed"], 1),
        (["crash"], 1),
        (["ok", "unsupported"], 1),
        (["unsupported"], 3),
        (["unsupported", "unsupported"], 3),
    ],
)
def test_exit_code_tells_how_the_runs_ended(
    stage: Stage, row: RowFactory, outcomes: list[str], code: int, tmp_path: Path, capsys: Capture
) -> None:
    stage.rows = rows_ending(row, *outcomes)
    assert main(["run", "lm-pretrain", "--store", str(tmp_path)]) == code


def test_ctrl_c_is_exit_1_and_the_runs_that_were_made_are_shown(
    stage: Stage, row: RowFactory, tmp_path: Path, capsys: Capture
) -> None:
    stage.rows = rows_ending(row, "ok", "cancelled")
    stage.cancelled = True
    assert main(["run", "--store", str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert "⊘ cancelled" in shown and "● ok" in shown
    assert "Stopped by hand" in shown


@pytest.mark.parametrize("outcomes", [[], ["ok"], ["unsupported"]])
def test_ctrl_c_is_exit_1_whatever_the_runs_before_it(
    stage: Stage, row: RowFactory, outcomes: list[str], tmp_path: Path
) -> None:
    stage.rows = rows_ending(row, *outcomes)
    stage.cancelled = True
    assert main(["run", "--store", str(tmp_path)]) == 1


def test_ctrl_c_outside_a_run_leaves_no_traceback(stage: Stage, tmp_path: Path, capsys: Capture) -> None:
    stage.raises = KeyboardInterrupt()
    assert main(["run", "--store", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "error: stopped by hand\n"


def test_json_is_one_document_of_exactly_these_runs_and_progress_goes_to_stderr(
    stage: Stage, row: RowFactory, tmp_path: Path, capsys: Capture
) -> None:
    stage.rows = rows_ending(row, "ok", "ok")
    assert main(["run", "--json", "--store", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert found["schema"] == "oildrop.runs/1"
    assert [run["run_id"] for run in found["runs"]] == ["run-0", "run-1"]
    assert found["summary"][0]["estimate"] == pytest.approx(21.3)
    assert len(shown.err.splitlines()) == 2


def test_people_get_a_table_a_sentence_the_store_and_what_to_do_next(
    stage: Stage, row: RowFactory, tmp_path: Path, capsys: Capture
) -> None:
    stage.rows = [row("ok", run_id=f"run-{k}", seed_index=k, time_s=time_s) for k, time_s in enumerate((20.0, 22.0))]
    main(["run", "--store", str(tmp_path)])
    shown = capsys.readouterr().out
    assert "lm-pretrain nano on torch-cpu, closed: 2 of 2 runs ok; time to target 20.98 s (95 % interval" in shown
    assert f"The store: {tmp_path}" in shown
    assert "oildrop show last" in shown and "oildrop site build --out" in shown


def test_every_option_reaches_the_plan(stage: Stage, tmp_path: Path) -> None:
    asked = (
        "run lm-pretrain image-classify --tier smoke --backend torch-cpu --seeds 1,2 --set a.b=1 --set c=d "
        "--division open --timeout 9.5 --memory-limit 2GiB --note hello --dry-run --json"
    )
    main([*asked.split(), "--store", str(tmp_path)])
    assert stage.requests == [
        planning.RunRequest(
            benchmarks=("lm-pretrain", "image-classify"),
            suite=None,
            tier="smoke",
            backend="torch-cpu",
            runs=None,
            seeds=(1, 2),
            changes={"a.b": "1", "c": "d"},
            division="open",
            timeout_s=9.5,
            memory_limit_bytes=2**31,
            note="hello",
        )
    ]


def test_the_folder_for_trained_weights_is_made_and_reaches_the_plan_whole(
    stage: Stage, row: RowFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stage.rows = rows_ending(row, "ok")
    words = ["run", "lm-pretrain", "--keep-weights", "kept/here", "--store", "store", "--json"]
    assert main([*words, "--dry-run"]) == 0
    assert stage.requests[-1].keep_weights is None and not (tmp_path / "kept").exists()
    assert main(words) == 0
    assert stage.requests[-1].keep_weights == tmp_path / "kept" / "here"
    assert (tmp_path / "kept" / "here").is_dir()


def test_a_folder_for_weights_that_cannot_be_made_is_a_usage_error(
    stage: Stage, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "file").write_text("")
    folder = str(tmp_path / "file" / "kept")
    assert main(["run", "lm-pretrain", "--keep-weights", folder, "--store", str(tmp_path)]) == 2
    assert f"--keep-weights {folder}: Not a directory; name a folder" in capsys.readouterr().err.replace("\n", " ")
    assert stage.requests == []


def test_a_served_benchmark_keeps_no_weights(tmp_path: Path, capsys: Capture) -> None:
    words = ["run", "lm-generate", "--keep-weights", str(tmp_path / "kept"), "--store", str(tmp_path / "store")]
    assert main(words) == 2
    assert "--keep-weights is for benchmarks that train; lm-generate trains nothing" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


def test_defaults_leave_the_choice_to_the_rulebook(stage: Stage, tmp_path: Path) -> None:
    main(["run", "--dry-run", "--json", "--store", str(tmp_path)])
    assert stage.requests == [planning.RunRequest()]


def test_a_dry_run_shows_the_plan_and_writes_nothing(stage: Stage, tmp_path: Path, capsys: Capture) -> None:
    place = ["--store", str(tmp_path / "none")]
    assert main(["run", "--dry-run", *place]) == 0
    shown = capsys.readouterr().out
    assert "seeds: 50 (number 0), 51 (number 1)" in shown
    assert "limits of a run: 4 min 10 s in all, 10 s of silence, 1 min 0 s without progress, no memory limit" in shown
    assert "expected time: about 40 s" in shown
    assert "execution.dtype" in shown
    assert main(["run", "--dry-run", "--json", *place]) == 0
    [entry] = json.loads(capsys.readouterr().out)["sets"]
    assert entry["expected_s"] == 40.0
    assert [run["seed"] for run in entry["runs"]] == [50, 51]
    assert entry["runs"][0]["settings"] == {"execution.dtype": "fp32", "execution.compile": "eager"}
    assert stage.executed == 0 and stage.created == [False, False]
    assert not (tmp_path / "none").exists()


def test_a_measuring_run_gives_a_new_store_its_identity(stage: Stage, row: RowFactory, tmp_path: Path) -> None:
    stage.rows = rows_ending(row, "ok")
    main(["run", "--store", str(tmp_path)])
    assert stage.created == [True]


def test_a_summary_without_an_estimate_says_why() -> None:
    summary = {
        "benchmark": "lm-pretrain",
        "tier": "nano",
        "backend": "torch-cpu",
        "division": "closed",
        "runs": 5,
        "ok": 4,
        "metric": "time_to_target_s",
        "estimate": None,
        "ci95_low": None,
        "ci95_high": None,
        "standing": "ranked",
        "reason": "1 of 5 runs did not succeed",
    }
    assert summary_sentence(summary) == (
        "lm-pretrain nano on torch-cpu, closed: 4 of 5 runs ok; no estimate: 1 of 5 runs did not succeed; ranked."
    )
    alone = {**summary, "runs": 1, "ok": 1, "estimate": 20.0, "standing": "anecdote", "reason": "1 run has no interval"}
    assert summary_sentence(alone).endswith(
        "time to target 20 s, without an interval: 1 run has no interval; anecdote."
    )


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["lm-pretrian"], "lm-pretrain"),
        (["--suite", "defualt"], "default"),
        (["lm-pretrain", "--tier", "nanoo"], "nano"),
        (["lm-pretrain", "--backend", "torch-cup"], "torch-cpu"),
        (["lm-pretrain", "--division", "opne"], "open"),
        (["lm-pretrain", "--set", "execution.dtpe=bf16"], "execution.dtype"),
        (["lm-pretrain", "--set", "optimizer.learning_rate=1"], "--division open"),
    ],
)
def test_what_the_plan_refuses_is_exit_2_with_the_way_out(
    words: list[str], offered: str, tmp_path: Path, capsys: Capture
) -> None:
    assert main(["run", *words, "--dry-run", "--json", "--store", str(tmp_path / "none")]) == 2
    assert offered in json.loads(capsys.readouterr().out)["error"]["message"]
    assert not (tmp_path / "none").exists()
