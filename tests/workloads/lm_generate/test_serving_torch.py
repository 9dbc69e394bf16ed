"""The whole task: answers beside another library's, quality, refusals, and the checkpoint that is served."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from oildrop.rules.errors import UsageError
from oildrop.workloads import kept_weights
from oildrop.workloads.kept_weights import DamagedCheckpoint, write_weights
from oildrop.workloads.lm_generate.serving import LmGenerate, make_task
from oildrop.workloads.lm_pretrain.reference import initial_std_of, initial_weights
from oildrop.workloads.weights_hash import weights_sha256

DEVICE: Any = SimpleNamespace(backend="torch-cpu", handle=torch.device("cpu"))
BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"


def started(settings: dict[str, Any], seed: int = 7) -> LmGenerate:
    task = make_task(settings, DEVICE)
    task.load_data()
    task.build()
    task.initialise(seed)
    return task


def answered(task: LmGenerate, count: int) -> dict[int, tuple[int, ...]]:
    task.admit(list(range(count)))
    answers: dict[int, tuple[int, ...]] = {}
    while emissions := task.step():
        for emission in emissions:
            answers[emission.index] = answers.get(emission.index, ()) + emission.tokens
    return answers


def test_answers_are_those_of_transformers_at_the_same_weights(
    tiny_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    from decode import transformers_answer, transformers_model

    task = started(tiny_settings | {"model.head_std": 1.0})
    answers = answered(task, 6)
    model = transformers_model(task._shape, dict(task.weights()), "fp32")
    for index, tokens in answers.items():
        assert transformers_answer(model, task._requests.prompt(index), len(tokens)) == list(tokens)


def test_every_answer_is_as_long_as_asked_and_agrees_with_the_reference(tiny_settings: dict[str, Any]) -> None:
    task = started(tiny_settings)
    task.warm_up()
    answers = answered(task, 20)
    assert all(len(answers[index]) == task.size(index).output_tokens for index in range(20))
    found = task.assess(answers)
    assert len(found.index) == 6  # assess.least
    assert np.array_equal(found.agreed_count, found.compared_count)
    assert found.compared_count.sum() == sum(len(answers[index]) for index in found.index.tolist())
    wrong = {index: tuple((token + 1) % 60 for token in tokens) for index, tokens in answers.items()}
    assert task.assess(wrong).agreed_count.sum() < found.agreed_count.sum() / 2


@pytest.mark.parametrize("sampling", ["greedy", "seeded"])
def test_the_fp32_reference_agrees_as_the_float64_one_does(tiny_settings: dict[str, Any], sampling: str) -> None:
    task = started(tiny_settings | {"sampling.method": sampling, "assess.reference": "fp32"})
    found = task.assess(answered(task, 8))
    assert np.array_equal(found.agreed_count, found.compared_count)


def test_a_second_start_forgets_the_first(tiny_settings: dict[str, Any]) -> None:
    task = started(tiny_settings)
    first = answered(task, 5)
    task.admit([0, 1, 2])
    task.step()
    task.initialise(7)
    assert answered(task, 5) == first
    task.initialise(8)
    assert answered(task, 5) != first


def test_the_checkpoint_is_served_and_a_damaged_one_is_refused(
    tiny_settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_weights, "CHECKPOINTS", tmp_path)
    random = started(tiny_settings, seed=3)
    weights = initial_weights(random._shape, 3, initial_std_of(tiny_settings))
    sha256 = write_weights(tmp_path / "tiny.safetensors", weights.items())
    named = {"weights.source": "checkpoint", "checkpoint.name": "tiny", "checkpoint.weights_sha256": sha256}
    task = started(tiny_settings | named, seed=99)
    assert weights_sha256(task.weights()) == sha256 == weights_sha256(random.weights())
    with pytest.raises(DamagedCheckpoint, match="it was altered"):
        started(tiny_settings | named | {"checkpoint.weights_sha256": "0" * 64})


def test_prompts_and_answers_that_do_not_fit_a_document_are_refused(tiny_settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"= 26: a document with its start token has 25"):
        make_task(tiny_settings | {"requests.prompt_tokens_max": 16}, DEVICE).load_data()


def test_bytes_of_a_step_follow_the_declared_formats(tiny_settings: dict[str, Any]) -> None:
    wide, narrow = (started(tiny_settings | {"execution.dtype": dtype}) for dtype in ("fp32", "bf16"))
    norms = 4 * 32 * 5
    assert wide.bytes_per_step(10)[0] - norms == 2 * (narrow.bytes_per_step(10)[0] - norms)
    assert wide.bytes_per_step(10)[1] == 2 * narrow.bytes_per_step(10)[1] == 4 * 2 * 2 * 2 * 8 * 10
