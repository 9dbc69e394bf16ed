"""The published bundles are whole, and what they show can be made again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from oildrop.results.ingest import judge_bundle
from oildrop.rules.loading import load_rulebook
from oildrop.rules.reference_points import check_run, expected_at

PUBLISHED = Path(__file__).resolve().parents[2] / "results" / "published"
BUNDLES = sorted(PUBLISHED.glob("*.tar.gz"))


def test_there_are_some_and_each_is_described() -> None:
    described = (PUBLISHED / "README.md").read_text()
    assert BUNDLES
    assert all(path.name.removesuffix(".tar.gz") in described for path in BUNDLES)


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_a_published_bundle_is_intact_and_reached_its_target(bundle: Path) -> None:
    evidence, judgement = judge_bundle(bundle)
    assert evidence.sealed and evidence.problems == ()
    assert judgement.outcome == "ok"


def test_mlx_reached_the_target_after_as_many_samples_as_the_reference() -> None:
    [bundle] = [path for path in BUNDLES if judge_bundle(path)[0].spec.backend == "mlx-cpu"]
    assert_as_the_reference(float(judge_bundle(bundle)[1].headline("samples_to_target").value or 0.0))


@pytest.mark.minutes
@pytest.mark.timeout(3600)
def test_mlx_on_a_processor_reaches_the_target(tmp_path: Path) -> None:
    oildrop = Path(sys.executable).with_name("oildrop")
    words = ["run", "lm-pretrain", "--backend", "mlx-cpu", "--runs", "1", "--store", str(tmp_path), "--json"]
    [run] = json.loads(subprocess.run([oildrop, *words], capture_output=True, text=True, check=True).stdout)["runs"]
    [samples] = [metric["value"] for metric in run["metrics"] if metric["name"] == "samples_to_target"]
    assert_as_the_reference(samples)


def assert_as_the_reference(samples: float) -> None:
    reference = load_rulebook().reference_of("lm-pretrain", "nano")
    assert reference is not None
    expected = expected_at(reference.points, 8)
    assert expected is not None
    assert check_run(samples, expected).side is None
