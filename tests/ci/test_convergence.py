"""Reference points from a plan, with an executable that only pretends to train."""

from __future__ import annotations

import json
import random
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oildrop.ci.convergence import main
from oildrop.ci.convergence_plan import Series, check_plan, parse_series, read_plan
from oildrop.rules.errors import UsageError
from oildrop.rules.identity import rulebook_seed, workload_id
from oildrop.rules.loading import load_rulebook, parse_rulebook
from oildrop.rules.reference import Reference
from oildrop.rules.settings import resolve

BENCHMARK = load_rulebook().benchmarks["lm-pretrain"]
BATCH = "data.documents_per_batch"
SEEDS = [rulebook_seed(BENCHMARK.sha256, index) for index in range(40)]


class Shop:
    """A store with the fake executable beside it, and what its runs will be."""

    def __init__(self, folder: Path) -> None:
        self.store, self.executable = folder / "store", folder / "oildrop"
        self.store.mkdir()
        fake = Path(__file__).with_name("fake_oildrop.py")
        self.executable.write_text(f'#!/bin/sh\nexec {sys.executable} -P {fake} "$@"\n')
        self.executable.chmod(0o755)
        self.known: dict[str, Any] = {}
        self.system("abc")

    def system(self, revision: str) -> None:
        text = {
            "schema": "oildrop.system/1", "accelerators": [], "power_cap_w": None,
            "cpu": {"model": "Toy 1", "vendor": "Toy", "architecture": "x86_64", "sockets": 1, "physical_cores": 2,
                    "logical_cores": 4, "usable_cores": 4, "max_frequency_hz": None, "l3_cache_bytes": None,
                    "governor": None},
            "memory": {"total_bytes": 2**33, "swap_bytes": 0, "limit_bytes": None},
            "os": {"name": "Linux", "release": "6", "kernel": "6", "virtualisation": "none"},
            "software": {"oildrop": "0.1.0", "python": "3", "frameworks": {"torch": "2.13", "jax": "0.10"},
                         "libraries": {}, "drivers": {}, "git_revision": revision, "image": None},
        }  # fmt: skip
        (self.store / "system.json").write_text(json.dumps(text))

    def workload(self, batch: int, dtype: str, outcomes: dict[int, str] | None = None, factor: float = 1.0) -> None:
        """Let the executable know a workload; `outcomes` says which seeds do not end ok, once each."""
        changes = {"execution.dtype": dtype} | ({} if batch == 8 else {BATCH: str(batch)})
        division = "closed" if batch == 8 else "open"
        settings = resolve(BENCHMARK, "nano", division, changes).settings
        draw = random.Random(batch)
        asked = " ".join([division, *sorted(f"{key}={value}" for key, value in changes.items())])
        self.known[asked] = {
            "workload_id": workload_id(BENCHMARK.sha256, "nano", division, settings), "seeds": SEEDS,
            "samples": [factor * draw.gauss(2240.0, 70.0) for _ in SEEDS],
            "outcomes": {str(seed): outcome for seed, outcome in (outcomes or {}).items()},
        }  # fmt: skip
        (self.store / "known.json").write_text(json.dumps(self.known))

    def make(self, *words: str) -> int:
        common = ["lm-pretrain", "--store", str(self.store), "--executable", str(self.executable)]
        return main([*common, *words])

    @property
    def trained(self) -> list[str]:
        """The `run` calls so far."""
        calls = (self.store / "calls.txt").read_text().splitlines()
        return [call for call in calls if call.startswith("run ")]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def parsed(text: str) -> Reference:
    shipped = {name: data for name, data in load_rulebook().files.items() if name != "reference/lm-pretrain.toml"}
    reference = parse_rulebook({**shipped, "reference/lm-pretrain.toml": text.encode()}).reference_of(
        "lm-pretrain", "nano"
    )
    assert reference is not None
    return reference


def test_points_of_two_batch_sizes_are_printed_as_the_rulebook_reads_them(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    for batch in (4, 8):
        shop.workload(batch, "fp32")
        shop.workload(batch, "bf16")
    words = ["4:torch-cpu:fp32:20", "8:torch-cpu:fp32:18", "8:jax-cpu:bf16:2:18"]
    assert shop.make("--points", *words) == 0
    reference = parsed(capsys.readouterr().out)
    assert [(point.batch, len(point.runs)) for point in reference.points] == [(4, 20), (8, 20)]
    own = reference.own
    assert [(run.backend, run.seed_index) for run in own.runs[:3]] == [
        ("jax-cpu", 18), ("jax-cpu", 19), ("torch-cpu", 0),
    ]  # fmt: skip
    assert {(run.framework, run.dtype) for run in own.runs} == {("jax 0.10", "bf16"), ("torch 2.13", "fp32")}
    samples = shop.known["closed execution.dtype=fp32"]["samples"]
    assert own.runs[2].samples_to_target == round(samples[0], 1)
    assert all(run.seed == SEEDS[run.seed_index] for point in reference.points for run in point.runs)
    assert (own.git_revision, own.oildrop_version, own.measured) == ("abc", "0.1.0", "2026-11-24")
    assert own.system == "Toy 1, 4 logical cores; Linux 6"


def test_the_executable_is_asked_for_closed_at_the_tiers_own_batch_and_for_open_elsewhere(shop: Shop) -> None:
    shop.workload(4, "bf16")
    shop.workload(8, "fp32")
    shop.make("--points", "4:torch-cpu:bf16:20", "8:torch-cpu:fp32:20")
    seeds = ",".join(map(str, range(20)))
    common = "run lm-pretrain --tier nano --backend torch-cpu --division"
    assert shop.trained == [
        f"{common} open --set execution.dtype=bf16 --set {BATCH}=4 --seeds {seeds} --store {shop.store} --json",
        f"{common} closed --set execution.dtype=fp32 --seeds {seeds} --store {shop.store} --json",
    ]


def test_a_second_start_makes_only_what_was_stopped(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.workload(8, "fp32", {3: "cancelled", 7: "lost"})
    assert shop.make("--points", "8:torch-cpu:fp32:20") == 1
    said = capsys.readouterr()
    assert said.out == "" and "runs are missing (batch 8, torch-cpu, fp32: seeds 3, 7); repeat" in said.err
    shop.workload(8, "fp32")
    assert shop.make("--points", "8:torch-cpu:fp32:20") == 0
    assert " --seeds 3,7 " in shop.trained[1] and len(shop.trained) == 2
    said = capsys.readouterr()
    assert "18 of 20 runs are in the store" in said.err
    assert "20 runs made" in parsed(said.out).how and "2 more were stopped" in parsed(said.out).how
    assert shop.make("--points", "8:torch-cpu:fp32:20") == 0
    assert len(shop.trained) == 2


def test_a_point_with_a_failure_is_refused_and_its_runs_are_named(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.workload(4, "fp32", {5: "target_missed"})
    shop.workload(8, "fp32")
    words = ("--points", "4:torch-cpu:fp32:20", "8:torch-cpu:fp32:20")
    for _ in range(2):
        assert shop.make(*words) == 1
        said = capsys.readouterr()
        assert "batch 4 refused: 1 of 20 runs failed" in said.err
        assert "20261124-000000-000005-aaaaaa target_missed: as planned" in said.err
        assert [point.batch for point in parsed(said.out).points] == [8]
    assert len(shop.trained) == 2


def test_runs_of_two_harnesses_make_no_point(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.workload(8, "fp32")
    shop.workload(8, "bf16", {1: "cancelled"})
    assert shop.make("--points", "8:torch-cpu:fp32:20", "8:torch-cpu:bf16:5") == 1
    shop.system("def")
    shop.workload(8, "bf16")
    assert shop.make("--points", "8:torch-cpu:fp32:20", "8:torch-cpu:bf16:5") == 1
    assert "runs of 2 harnesses: 0.1.0 (abc), 0.1.0 (def); make them in a fresh store" in capsys.readouterr().err


def test_a_framework_that_learns_otherwise_is_named(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.workload(8, "fp32")
    shop.workload(8, "bf16", factor=1.2)
    assert shop.make("--points", "8:torch-cpu:fp32:20", "8:jax-cpu:bf16:5") == 0
    said = capsys.readouterr().err
    assert "jax-cpu bf16 against the others: " in said and "too slow: look at the numerics" in said


def test_merging_replaces_a_point_keeps_the_rest_and_drops_what_is_stale(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for batch in (2, 4, 8):
        shop.workload(batch, "fp32")
    target = tmp_path / "lm-pretrain.toml"
    assert shop.make("--merge", str(target), "--points", "4:torch-cpu:fp32:20", "8:torch-cpu:fp32:20") == 0
    assert shop.make("--merge", str(target), "--points", "2:torch-cpu:fp32:20", "8:torch-cpu:fp32:25") == 0
    assert [(point.batch, len(point.runs)) for point in parsed(target.read_text()).points] == [
        (2, 20),
        (4, 20),
        (8, 25),
    ]
    target.write_text(target.read_text().replace(f"seed = {SEEDS[24]}", "seed = 24"))
    assert shop.make("--merge", str(target), "--points", "8:torch-cpu:fp32:20") == 0
    assert "batch 8: dropped or replaced" in capsys.readouterr().err
    assert [(point.batch, len(point.runs)) for point in parsed(target.read_text()).points] == [
        (2, 20),
        (4, 20),
        (8, 20),
    ]
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".new"] == []


def test_nothing_is_merged_without_the_tiers_own_point(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.workload(4, "fp32")
    target = tmp_path / "lm-pretrain.toml"
    assert shop.make("--merge", str(target), "--points", "4:torch-cpu:fp32:20") == 1
    assert "no point at its own batch of 8" in capsys.readouterr().err
    assert not target.exists()


def test_an_executable_that_was_called_wrongly_ends_it(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.workload(8, "fp32")
    shop.known.clear()
    (shop.store / "known.json").write_text("{}")
    assert shop.make("--points", "8:torch-cpu:fp32:20") == 1
    assert "ended with exit code 2 and no document" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (["8:torch-cpu:fp32"], "has 3 parts; use batch:backend:dtype:runs"),
        (["many:torch-cpu:fp32:20"], "batch is 'many'"),
        (["8:torch-cpu:fp32:19"], "batch 8: 19 runs are under 20, the least for a point"),
        (["8:torch-cpu:fp32:20", "8:torch-cpu:fp32:20:20"], "batch 8, torch-cpu, fp32 is planned twice"),
        (["8:torch-cpu:fp12:20"], "execution.dtype = 'fp12' is not one of"),
        (["3:torch-cpu:fp32:20"], "documents_per_batch = 3 is not one of"),
        (["--tier", "smoke"], "tier smoke of lm-pretrain has no target"),
    ],
)
def test_a_plan_that_can_become_no_point_is_refused_at_once(
    shop: Shop, capsys: pytest.CaptureFixture[str], points: list[str], message: str
) -> None:
    words = ["--points", *points] if points[0] != "--tier" else ["--points", "8:torch-cpu:fp32:20", *points]
    with pytest.raises(SystemExit) as ended:
        shop.make(*words)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not (shop.store / "calls.txt").exists()


def test_a_batch_size_between_evaluations_is_refused() -> None:
    benchmark = load_rulebook().benchmarks["image-classify"]
    tier = benchmark.tiers["nano"]
    odd = tier.model_copy(update={"schedule": tier.schedule.model_copy(update={"every": 192})})
    plan = [parse_series("128:torch-cpu:fp32:20")]
    with pytest.raises(UsageError, match="batch 128 does not divide every = 192"):
        check_plan(plan, benchmark.model_copy(update={"tiers": {"nano": odd}}), "nano")


@pytest.mark.parametrize(("name", "batches"), [("lm-pretrain", (2, 4, 8)), ("image-classify", (64, 128, 256))])
def test_evaluations_fall_on_steps_at_the_batch_sizes_of_the_reference(name: str, batches: tuple[int, ...]) -> None:
    benchmark = load_rulebook().benchmarks[name]
    check_plan([parse_series(f"{batch}:torch-cpu:fp32:20") for batch in batches], benchmark, "nano")
    table = tomllib.loads(load_rulebook().files[f"{name}.toml"].decode())["tiers"]["nano"]
    counts = [*table["schedule"].values(), table["cap_samples"]]
    assert [samples % batch for batch in batches for samples in counts] == [0] * len(batches) * len(counts)


def test_a_plan_file_says_the_same_as_words(tmp_path: Path, refused: Callable[[str], str]) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(
        '[[series]]\nbatch = 4\nbackend = "jax-cpu"\ndtype = "bf16"\nruns = 5\nfirst_seed = 10\n'
        '[[series]]\nbatch = 8\nbackend = "torch-cpu"\ndtype = "fp32"\nruns = 20\n'
    )
    assert read_plan(path) == [parse_series("4:jax-cpu:bf16:5:10"), parse_series("8:torch-cpu:fp32:20")]
    assert list(Series(batch=4, backend="b", dtype="d", runs=2, first_seed=10).seeds) == [10, 11]
    assert "has no [[series]]" in refused("")
    assert "series 0: runs is 0" in refused('[[series]]\nbatch = 4\nbackend = "b"\ndtype = "d"\nruns = 0\n')
    assert "name a TOML file" in refused("[[")


@pytest.fixture
def refused(tmp_path: Path) -> Callable[[str], str]:
    def reason(text: str) -> str:
        path = tmp_path / "broken.toml"
        path.write_text(text)
        with pytest.raises(UsageError) as error:
            read_plan(path)
        return str(error.value)

    return reason
