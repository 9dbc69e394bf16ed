"""With a draft the same is said as without, token by token, in rows that go on by unlike numbers of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from oildrop.rules.errors import Unsupported
from oildrop.workloads import kept_weights
from oildrop.workloads.kept_weights import write_weights
from oildrop.workloads.lm_generate import acceptance, gates, speculative
from oildrop.workloads.lm_generate.acceptance import GreedyAcceptance, Proposals, SeededAcceptance
from oildrop.workloads.lm_generate.draft import draft_settings
from oildrop.workloads.lm_generate.serving import LmGenerate, make_task
from oildrop.workloads.lm_generate.shapes import model_shape
from oildrop.workloads.lm_pretrain.reference import gate_weights
from oildrop.workloads.served_protocols import Drafts

DEVICE: Any = SimpleNamespace(backend="torch-cpu", handle=torch.device("cpu"))
SIZES = {"layers": 1, "width": 16, "heads": 2, "key_value_heads": 1, "hidden": 24}


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
            assert emission.done == (len(answers[emission.index]) == task.size(emission.index).output_tokens)
    return answers


@pytest.fixture
def drafted(tiny_settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The tiny model with a tiny draft, whose weights are in a file."""
    monkeypatch.setattr(kept_weights, "CHECKPOINTS", tmp_path)
    sizes = {f"draft.model.{key}": size for key, size in SIZES.items()}
    settings = tiny_settings | sizes | {"execution.draft": "lm-pretrain-draft", "execution.draft_tokens": 3}
    own = draft_settings(settings)
    assert own is not None
    weights = gate_weights(model_shape(own), 3, 0.2)
    sha256 = write_weights(tmp_path / "lm-pretrain-draft.safetensors", weights.items())
    return settings | {"draft.weights_sha256": sha256}


@pytest.mark.parametrize("draft_tokens", [1, 4])
def test_the_trained_draft_changes_no_greedy_answer_and_is_often_right(
    served_nano: dict[str, Any], draft_tokens: int
) -> None:
    plain = answered(started(served_nano), 48)
    with_draft = {"execution.draft": "lm-pretrain-draft", "execution.draft_tokens": draft_tokens}
    task = started(served_nano | with_draft)
    assert answered(task, 48) == plain
    drafts = task.drafts()
    assert drafts is not None and 0.6 < drafts.accepted / drafts.proposed < 1
    # Every token but the first, which comes from the prefill, stood or was said beside those that did.
    assert drafts.accepted + drafts.verified == sum(len(answer) - 1 for answer in plain.values())


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_drawn_answers_agree_with_the_reference_draw_by_draw(drafted: dict[str, Any], dtype: str) -> None:
    task = started(drafted | {"sampling.method": "seeded", "execution.dtype": dtype, "assess.least": 12})
    answers = answered(task, 40)
    drafts = task.drafts()
    assert drafts is not None and 0 < drafts.accepted < drafts.proposed
    found = task.assess(answers)
    assert found.agreed_count.sum() >= {"fp32": 1.0, "bf16": 0.95}[dtype] * found.compared_count.sum()
    assert answers != answered(started(drafted | {"sampling.method": "seeded", "execution.draft": ""}), 40)


@pytest.mark.parametrize(
    ("name", "wrong"), [("stands", lambda *_: True), ("residual", lambda p_V, q_V: np.ones_like(p_V))]
)
def test_draws_that_do_not_follow_the_model_do_not_agree(
    drafted: dict[str, Any], monkeypatch: pytest.MonkeyPatch, name: str, wrong: Any
) -> None:
    task = started(drafted | {"sampling.method": "seeded", "assess.least": 12})
    monkeypatch.setattr(acceptance, name, wrong)
    answers = answered(task, 40)
    monkeypatch.undo()
    found = task.assess(answers)
    assert found.agreed_count.sum() < 0.97 * found.compared_count.sum()


def test_the_draft_has_read_just_what_was_said(served_nano: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its proposals are those of the whole text so far, whatever fell before."""
    made: list[tuple[int, int, list[int]]] = []
    usual = GreedyAcceptance.accept

    def noted(self: Any, served: Any, handle: Any, rows: Sequence[Proposals]) -> Any:
        made.extend((row.index, row.place, list(row.tokens)) for row in rows)
        return usual(self, served, handle, rows)

    monkeypatch.setattr(GreedyAcceptance, "accept", noted)
    task = started(served_nano | {"execution.draft": "lm-pretrain-draft", "execution.draft_tokens": 3})
    answers = answered(task, 24)
    assert task._draft is not None and len({len(tokens) for _, _, tokens in made}) == 4  # 0 to 3 at a time
    for index, place, tokens in made:
        text = [*task._requests.prompt(index).tolist(), *answers[index][:place], *tokens]
        logits_TV = task._draft.generator.prompt_logits(np.array([text], dtype=np.int32))[0]
        start = len(text) - len(tokens)
        assert logits_TV[start - 1 : len(text) - 1].argmax(axis=-1).tolist() == tokens


def test_gates_pass_with_a_draft_and_find_a_row_that_goes_on_wrong(
    drafted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task(drafted, DEVICE)
    task.load_data()
    task.build()
    assert {result.name for result in task.run_gates() if result.passed} >= {"loss_prefill", "loss_decode", "greedy"}
    usual = speculative._extended

    def one_late(generator: Any, rows: Any, texts: Any, positions: Any) -> Any:
        late = [position + (len(text) > 1) for position, text in zip(positions, texts, strict=True)]
        return usual(
            generator, rows, texts, [min(place, 23 - len(text)) for place, text in zip(late, texts, strict=True)]
        )

    monkeypatch.setattr(speculative, "_extended", one_late)
    assert not all(result.passed for result in task.run_gates())


def test_the_gates_proposals_stand_and_fall(drafted: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Drafts] = []
    usual = gates._answer

    def noted(batcher: Any, case: Any, indices: range) -> None:
        usual(batcher, case, indices)
        found.append(batcher.drafts)

    monkeypatch.setattr(gates, "_answer", noted)
    task = make_task(drafted, DEVICE)
    task.load_data()
    task.build()
    assert all(result.passed for result in task.run_gates())
    assert len(found) == 2 and all(0.2 < each.accepted / each.proposed < 0.8 for each in found)


def test_a_second_start_counts_anew_and_a_task_without_a_draft_counts_nothing(drafted: dict[str, Any]) -> None:
    task = started(drafted)
    first, counted = answered(task, 6), task.drafts()
    assert counted is not None and counted.since(counted) == Drafts()
    task.initialise(7)
    assert task.drafts() == Drafts()
    assert answered(task, 6) == first and task.drafts() == counted
    assert started(drafted | {"execution.draft": ""}).drafts() is None


def test_a_draft_that_the_tier_has_not_is_unsupported(tiny_settings: dict[str, Any]) -> None:
    without = {key: value for key, value in tiny_settings.items() if not key.startswith("draft.")}
    task = make_task(without | {"execution.draft": "lm-pretrain-draft"}, DEVICE)
    task.load_data()
    with pytest.raises(Unsupported, match="this tier's draft is none; leave it empty, or take tier nano"):
        task.build()


def test_the_acceptance_follows_the_sampling_method(drafted: dict[str, Any]) -> None:
    batcher: Any = started(drafted | {"sampling.method": "seeded"})._batcher
    assert isinstance(batcher._acceptance, SeededAcceptance)
