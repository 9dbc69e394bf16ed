"""`oildrop colocate`: which runs it plans, what it refuses, and one small measurement to its end."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oildrop.harness.null_task import NullTask
from oildrop.harness.training import plan_of
from oildrop.results.colocations import colocations_of, result_of
from oildrop.results.layout import StoreLayout
from oildrop.results.views import list_runs
from oildrop.rules.errors import UsageError
from oildrop.rules.identity import rulebook_seed
from oildrop.rules.loading import load_rulebook
from oildrop.suite.colocate import ColocationPlan, plan_colocation
from oildrop.suite.request import RunRequest
from oildrop.suite.together import run_two

OILDROP = Path(sys.executable).with_name("oildrop")
COMMAND = ("oildrop", "colocate", "lm-pretrain", "lm-generate", "--pairs", "1")


def planned(store: Path, train: str = "lm-pretrain", serve: str = "lm-generate", **asked: Any) -> ColocationPlan:
    training = RunRequest(benchmarks=(train,), backend="torch-cpu", runs=3)
    serving = RunRequest(benchmarks=(serve,), **{"backend": "torch-cpu", "runs": 3, **asked})
    return plan_colocation(training, serving, StoreLayout(store), COMMAND, create=True)


def test_each_pair_begins_one_part_further_on_and_all_runs_are_told_apart(tmp_path: Path) -> None:
    found = planned(tmp_path)
    order = ["train", "serve", "both"]
    assert [pair.steps for pair in found.pairs] == [tuple(order[k:] + order[:k]) for k in range(3)]
    specs = list(found.specs)
    assert len({spec.run_id for spec in specs}) == len(specs) == 12
    assert {spec.colocation.experiment_id for spec in specs if spec.colocation} == {specs[0].run_id}
    assert len({spec.session_id for spec in specs}) == 1


def test_a_run_beside_another_is_no_run_of_the_configuration_alone(tmp_path: Path) -> None:
    pair = planned(tmp_path).pairs[1]
    for alone, beside, other in (
        (pair.train_alone, pair.train_beside, pair.serve_alone),
        (pair.serve_alone, pair.serve_beside, pair.train_alone),
    ):
        assert beside.workload_id != alone.workload_id
        assert beside.set_id != alone.set_id
        assert beside.settings == alone.settings
        assert beside.colocation is not None
        assert beside.colocation.beside_workload_id == other.workload_id
        assert beside.seed == rulebook_seed(beside.benchmark_sha256, beside.seed_index or 0)
        assert beside.command == COMMAND
    assert (pair.train_beside.beside_run_id, pair.serve_beside.beside_run_id) == (
        pair.serve_beside.run_id,
        pair.train_beside.run_id,
    )


def test_a_training_has_short_blocks_beside_another_alone(tmp_path: Path) -> None:
    pair, task = planned(tmp_path).pairs[0], NullTask()
    benchmark = load_rulebook().benchmarks["lm-pretrain"]
    # The nano tier evaluates every 40 samples once it may have met its target, and never nearer to each other.
    alone, beside = (plan_of(spec, benchmark, task) for spec in (pair.train_alone, pair.train_beside))
    assert (alone.block_samples, beside.block_samples) == (None, 40)
    assert alone.schedule == beside.schedule


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"train": "lm-generate"}, "lm-generate does not train.* as oildrop colocate image-classify embed$"),
        ({"train": "calibrate"}, "calibrate does not train"),
        ({"serve": "calibrate"}, "calibrate does not serve"),
        ({"serve": "lm-serve"}, "lm-serve asks a server elsewhere"),
        ({"serve": "image-classify"}, "image-classify does not serve"),
        ({"scenario": "server"}, "give --rate R"),
        ({"changes": {"execution.devices": "2"}}, "execution.devices"),
    ],
)
def test_what_cannot_be_measured_so_is_refused_in_words(tmp_path: Path, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        planned(tmp_path, **asked)


def test_where_one_cannot_run_the_other_ends_too_and_both_are_kept(tmp_path: Path) -> None:
    found = planned(tmp_path)
    found = replace(found, train=replace(found.train, unsupported_reason="no such device"))
    rows, stopped = run_two(found, found.pairs[0], StoreLayout(tmp_path), costs=None)
    assert not stopped
    assert [row.outcome for row in rows] == ["unsupported", "cancelled"]
    said = f"stopped by the run beside it, {rows[0].run_id}, which ended as unsupported: no such device"
    assert rows[1].judgement.reason == said
    assert all((tmp_path / "runs" / row.run_id / "seal.json").exists() for row in rows)
    result = result_of(rows)
    assert all(figure.value is None and "pair 1: " in str(figure.reason) for figure in result.figures)
    (group,) = colocations_of([*list_runs(StoreLayout(tmp_path))]).values()
    assert {row.run_id for row in group} == {row.run_id for row in rows}


@pytest.mark.minutes
@pytest.mark.timeout(600)
def test_two_at_once_from_the_command_line_to_the_page(tmp_path: Path) -> None:
    store = tmp_path / "store"
    words = ["--tier", "smoke", "--pairs", "1", "--backend", "torch-cpu", "--json", "--store", str(store)]
    threads = ["--train-set", "execution.threads=1", "--serve-set", "execution.threads=1"]
    command = [OILDROP, "colocate", "lm-pretrain", "embed", *words, *threads]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.stdout, done.stderr
    document = json.loads(done.stdout)
    assert document["schema"] == "oildrop.colocate/1"
    (pair,) = document["pairs"]
    assert set(pair["runs"]) == {"train_alone", "train_beside", "serve_alone", "serve_beside"}
    assert pair["overlap_s"] > 0
    runs = {run["run_id"]: run for run in document["runs"]}
    assert {run["outcome"] for run in runs.values()} <= {"ok", "invalid"}  # a busy machine hands requests over late
    for role in ("train_beside", "serve_beside"):
        findings = runs[pair["runs"][role]]["findings"]
        assert not {finding["rule"] for finding in findings} & {"R009", "R010"}
        others = [finding["evidence"]["other_run"] for finding in findings if finding["rule"] == "R020"]
        assert not set(others) & set(pair["runs"].values())
    serving = next(figure for figure in document["figures"] if figure["of"] == "requests_per_s")
    assert serving["value"] < 1
    shown = subprocess.run(
        [OILDROP, "show", pair["runs"]["train_beside"], "--store", str(store)], capture_output=True, text=True
    )
    assert f"beside run {pair['runs']['serve_beside']} (embed smoke single-stream)" in shown.stdout.replace("\n", " ")
    out = tmp_path / "page"
    built = subprocess.run(
        [OILDROP, "site", "build", "--store", str(store), "--out", str(out)], capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    pages = "".join(path.read_text() for path in out.glob("r/*/index.html"))
    assert pages.count("Runs of this measurement of two at once") == 4
