"""`oildrop calibrate`: a run like any other, which `runs`, `show` and `check` know."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from oildrop.rules.catalogue import metrics_of
from oildrop.suite.cli.main import main

Capture = pytest.CaptureFixture[str]


@pytest.mark.slow
def test_a_calibration_is_kept_judged_and_shown(tmp_path: Path, capsys: Capture) -> None:
    pytest.importorskip("torch")
    store = ["--store", str(tmp_path / "store")]
    asked = ["calibrate", "--backend", "torch-cpu", "--tier", "smoke", "--threads", "1", "--json", *store]
    assert main(asked) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert (run["kind"], run["benchmark"], run["outcome"]) == ("calibrate", "calibrate", "ok")
    found = {metric["name"]: metric for metric in run["metrics"] if not metric["dims"]}
    assert set(found) == set(metrics_of("calibrate"))
    assert found["matmul_flop_per_s"]["value"] > 1e6 and found["matmul_flop_per_s"]["unit"] == "FLOP/s"
    formats = {metric["dims"]["dtype"] for metric in run["metrics"] if metric["dims"].keys() == {"dtype"}}
    assert formats == {"fp32", "tf32", "bf16", "fp16", "int8"}
    assert main(["runs", *store]) == 0
    assert "FLOP/s" in capsys.readouterr().out
    assert main(["check", "last", *store]) == 0


@pytest.mark.parametrize("backend", ["torch-mps", "jax-tpu"])
def test_a_backend_that_is_not_here_is_unsupported(backend: str, tmp_path: Path, capsys: Capture) -> None:
    asked = ["calibrate", "--backend", backend, "--json", "--store", str(tmp_path / "store")]
    assert main(asked) == 3
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert run["outcome"] == "unsupported" and run["reason"]


def test_an_unknown_backend_is_told_with_the_nearest(tmp_path: Path, capsys: Capture) -> None:
    assert main(["calibrate", "--backend", "torch-cdua", "--store", str(tmp_path)]) == 2
    assert "torch-cuda" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "calibrate", "--max-restarts", "1"], "--max-restarts is for benchmarks that train"),
        (["run", "calibrate", "--keep-weights", "kept"], "--keep-weights is for benchmarks that train"),
        (["run", "calibrate", "--scenario", "offline"], "--scenario is for benchmarks that serve"),
        (["run", "calibrate", "--set", "execution.devices=2"], "execution.devices = 2 is not one of 1"),
        (["plan", "calibrate"], "plans are for benchmarks that train"),
    ],
)
def test_what_a_calibration_cannot_do_is_told(
    words: list[str], says: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert says in capsys.readouterr().err
    assert list(tmp_path.glob("oildrop-store/runs/*")) == []


def test_its_tiers_aim_at_ceilings(capsys: Capture) -> None:
    assert main(["list", "calibrate"]) == 0
    assert "ceilings" in capsys.readouterr().out
