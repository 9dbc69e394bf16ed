"""Images answered wrong while the clock runs: by a damaged checkpoint, or by an engine that sends another class."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from oildrop.harness.load.stops import MINIMUM
from oildrop.harness.phases import End
from oildrop.harness.served_end import answers_of, end_of
from oildrop.results.layout import StoreLayout
from oildrop.rules.evidence import RequestTable
from oildrop.rules.loading import load_rulebook
from oildrop.rules.records import RunSpec
from oildrop.rules.rulebook import gate_settings
from oildrop.suite.planning import plan
from oildrop.suite.request import RunRequest
from oildrop.workloads.image_infer import requests, subject
from oildrop.workloads.registry import make_serve_task

COUNT = 512
Patch = pytest.MonkeyPatch


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> RunSpec:
    layout = StoreLayout(tmp_path_factory.mktemp("store"))
    [planned] = plan(RunRequest(benchmarks=("image-infer",), backend="torch-cpu", scenario="offline"), layout)
    return planned.specs[0]


@pytest.fixture(autouse=True)
def no_more_images_than_are_asked(monkeypatch: Patch) -> None:
    monkeypatch.setattr(requests, "POOL_PIXELS", COUNT * 64)


def end_of_run(spec: RunSpec) -> End:
    """What a run claims whose every answer is assessed, the network's and its answers' being real."""
    torch = pytest.importorskip("torch")
    device: Any = SimpleNamespace(backend="torch-cpu", handle=torch.device("cpu"))
    benchmark = load_rulebook().benchmarks["image-infer"]
    settings = {**spec.settings, **gate_settings(benchmark.gates, benchmark.tiers["nano"]), "assess.share": 1}
    task = make_serve_task("image_infer", settings, device)
    task.load_data()
    task.build()
    task.initialise(spec.seed)
    task.admit(list(range(COUNT)))
    sent: dict[int, tuple[int, ...]] = {}
    while emissions := task.step():
        sent |= {emission.index: emission.tokens for emission in emissions}
    return end_of(spec, table_of(sent), answers_of(task.assess(sent)), MINIMUM)


def table_of(sent: dict[int, tuple[int, ...]]) -> RequestTable:
    rows, one, none = tuple(range(COUNT)), (1,) * COUNT, (0,) * COUNT
    return RequestTable(
        index=rows, query=rows, scheduled_ns=none, issued_ns=none, first_ns=one, last_ns=one, input_tokens=one,
        output_tokens=one, expected_tokens=one, outcome=("ok",) * COUNT, gaps_ns=((),) * COUNT,
        tokens=tuple(sent[row] for row in rows),
    )  # fmt: skip


def test_the_checkpoint_answers_well_enough(spec: RunSpec) -> None:
    assert end_of_run(spec) == End(claim="ok", reason=None)


def test_a_damaged_checkpoint_fails_though_its_hash_were_not_asked(spec: RunSpec, monkeypatch: Patch) -> None:
    """A sixteenth of one tensor's values is lost, as where a file's pages were; the reference has the same weights."""
    right = subject.read_checkpoint

    def damaged(*asked: Any) -> dict[str, Any]:
        weights = {name: np.array(array) for name, array in right(*asked).items()}
        weights["layers.2.conv.weight"].reshape(-1)[: weights["layers.2.conv.weight"].size // 16] = 1.0
        return weights

    monkeypatch.setattr(subject, "read_checkpoint", damaged)
    end = end_of_run(spec)
    assert end.claim == "accuracy_fail"
    assert "nats/image of the assessed answers is not within 0.72" in str(end.reason)


def test_an_engine_that_sends_another_class_now_and_then_fails_by_its_accuracy(
    spec: RunSpec, monkeypatch: Patch
) -> None:
    """One in eight; the loss of its outputs is as it should be."""
    right = subject.ImageInfer.answers

    def answers(self: Any, outputs: Any) -> list[int]:
        return [(answer + (row % 8 == 0)) % 10 for row, answer in enumerate(right(self, outputs))]

    monkeypatch.setattr(subject.ImageInfer, "answers", answers)
    end = end_of_run(spec)
    assert end.claim == "accuracy_fail"
    assert "assessed answers are right" in str(end.reason) and "of which 99% must be reached" in str(end.reason)
