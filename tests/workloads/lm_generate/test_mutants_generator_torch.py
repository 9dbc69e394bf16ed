"""Mutants of cache, mask, positions and batching: each computes something else, and a strict gate must say so."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from oildrop.workloads.lm_generate import decoder_torch
from oildrop.workloads.lm_generate.batcher import Batcher
from oildrop.workloads.lm_generate.decoder_torch import Decoder
from oildrop.workloads.lm_generate.model_torch import TorchGenerator
from oildrop.workloads.lm_generate.serving import make_task

Patch = pytest.MonkeyPatch
Mutate = Callable[[Patch], None]
READ, SAY, ATTEND = Decoder.read, Decoder.say, F.scaled_dot_product_attention


def failed_gates(settings: dict[str, Any]) -> list[str]:
    device: Any = SimpleNamespace(backend="torch-cpu", handle=torch.device("cpu"))
    task = make_task(settings, device)
    task.load_data()
    task.build()
    return [result.name for result in task.run_gates() if not result.passed]


def step_at(move: Callable[[Tensor], Tensor]) -> Mutate:
    """Every step's token stands at another position."""

    def say(self: Any, tokens: Tensor, positions: Tensor, asked: Any, cache: Tensor, length: int) -> Tensor:
        moved = move(positions).clamp(0, cache.shape[-2] - 1)
        return SAY(self, tokens, moved, asked, cache, max(length, int(moved.max()) + 1))

    return lambda patch: patch.setattr(Decoder, "say", say)


def turned_late(patch: Patch) -> None:
    def say(self: Any, *rest: Any) -> Tensor:
        right = self._turn_2T1D2
        self._turn_2T1D2 = right.roll(-1, dims=1)
        try:
            return SAY(self, *rest)
        finally:
            self._turn_2T1D2 = right

    patch.setattr(Decoder, "say", say)


def masked(change: Callable[[Tensor], Tensor | None]) -> Mutate:
    """Another mask in steps of several rows."""

    def attend(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None, **rest: Any) -> Tensor:
        return ATTEND(q, k, v, attn_mask=None if attn_mask is None else change(attn_mask), **rest)

    return lambda patch: patch.setattr(F, "scaled_dot_product_attention", attend)


def attended(change: Callable[..., Tensor]) -> Mutate:
    return lambda patch: patch.setattr(F, "scaled_dot_product_attention", change)


def prompts_not_kept(patch: Patch) -> None:
    patch.setattr(
        Decoder, "read", lambda self, tokens, rows, kept, *rest: READ(self, tokens, rows, kept.clone(), *rest)
    )


def prompts_in_other_rows(patch: Patch) -> None:
    patch.setattr(Decoder, "read", lambda self, tokens, rows, *rest: READ(self, tokens, rows.flip(0), *rest))


def steps_not_kept(which: int) -> Mutate:
    """Keys (0) or values (1) of a step are forgotten after it."""

    def say(self: Any, tokens: Tensor, positions: Tensor, asked: Any, cache: Tensor, length: int) -> Tensor:
        before = cache[:, which].clone()
        logits = SAY(self, tokens, positions, asked, cache, length)
        cache[:, which] = before
        return logits

    return lambda patch: patch.setattr(Decoder, "say", say)


def one_layers_cache(patch: Patch) -> None:
    def say(self: Any, tokens: Tensor, positions: Tensor, asked: Any, cache: Tensor, length: int) -> Tensor:
        return SAY(self, tokens, positions, asked, cache[:1].expand_as(cache), length)

    patch.setattr(Decoder, "say", say)


def prompts_end_with_their_filling(patch: Patch) -> None:
    right = TorchGenerator.prefill

    def prefill(self: Any, slots: Any, prompts: Any) -> Any:
        longest = max(map(len, prompts))
        return right(self, slots, [np.pad(prompt, (0, longest - len(prompt))) for prompt in prompts])

    patch.setattr(TorchGenerator, "prefill", prefill)


def tokens_of_other_rows(patch: Patch) -> None:
    right = TorchGenerator.decode
    patch.setattr(TorchGenerator, "decode", lambda self, s, tokens, p: right(self, s, np.roll(tokens, 1), p))


def second_likeliest(patch: Patch) -> None:
    patch.setattr(TorchGenerator, "greedy", lambda self, handle: handle.topk(2).indices[:, 1].int().numpy())


def positions_stand_still(patch: Patch) -> None:
    right = Batcher._decode

    def decode(self: Any) -> Any:
        rows = list(self._rows)
        emissions = right(self)
        for row in rows:
            row.position -= 1
        return emissions

    patch.setattr(Batcher, "_decode", decode)


def pairs_not_side_by_side(patch: Patch) -> None:
    def plain(shape: Any) -> Any:
        return np.arange((shape.heads + 2 * shape.key_value_heads) * shape.head_width)

    patch.setattr(decoder_torch, "_pairs_side_by_side", plain)


MUTANTS: dict[str, Mutate] = {
    "position one late": step_at(lambda positions: positions + 1),
    "position one early": step_at(lambda positions: positions - 1),
    "all rows at the longest's position": step_at(lambda positions: positions.max().expand_as(positions)),
    "step turned one position late": turned_late,
    "no mask": masked(lambda mask: None),
    "mask hides the own token": masked(lambda mask: F.pad(mask[..., 1:], (0, 1), value=False)),
    "mask sees one more": masked(lambda mask: F.pad(mask[..., :-1], (1, 0), value=True)),
    "prompts not kept": prompts_not_kept,
    "prompts kept in other rows": prompts_in_other_rows,
    "keys of steps not kept": steps_not_kept(0),
    "values of steps not kept": steps_not_kept(1),
    "all layers step on the first one's cache": one_layers_cache,
    "keys and values swapped": attended(lambda q, k, v, **rest: ATTEND(q, v, k, **rest)),
    "scores not scaled": attended(lambda q, k, v, **rest: ATTEND(q, k, v, scale=1.0, **rest)),
    "query heads on other keys": attended(lambda q, k, v, **rest: ATTEND(q.flip(1), k, v, **rest).flip(1)),
    "prompts end with their filling": prompts_end_with_their_filling,
    "tokens of other rows": tokens_of_other_rows,
    "second likeliest token": second_likeliest,
    "positions stand still": positions_stand_still,
    "pairs not side by side": pairs_not_side_by_side,
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_strict_gate_fails(name: str, tiny_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    MUTANTS[name](monkeypatch)
    assert failed_gates(tiny_settings) != []


def test_the_right_one_passes(tiny_settings: dict[str, Any]) -> None:
    assert failed_gates(tiny_settings) == []
