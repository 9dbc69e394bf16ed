"""The memory formula against what PyTorch keeps between a forward and a backward pass, to the byte."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from oildrop.rules.formulas.memory import PRODUCT_BYTES, DecoderSize, train_memory_bytes
from oildrop.workloads.lm_pretrain.model_torch import Decoder
from oildrop.workloads.lm_pretrain.reference import ModelShape

DOCUMENTS, POSITIONS, WIDTH, KEY_VALUE_WIDTH = 4, 64, 64, 32
SIZES = {"width": WIDTH, "heads": 4, "key_value_heads": 2, "hidden": 160, "vocabulary": 96, "positions": POSITIONS}


def kept_bytes(layers: int, dtype: str) -> int:
    """Bytes of the distinct storages that the backward pass holds on to, weights and constants left out."""
    model = Decoder(ModelShape(layers=layers, **SIZES, norm_epsilon=1e-5, rotary_base=1e4))
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.05)
    constant = {tensor.untyped_storage().data_ptr() for tensor in [*model.parameters(), *model.buffers()]}
    held: dict[int, torch.Tensor] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        held.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    def give_back(tensor: torch.Tensor) -> Any:
        return tensor

    tokens = torch.randint(SIZES["vocabulary"], (DOCUMENTS, POSITIONS + 1))
    with torch.autograd.graph.saved_tensors_hooks(note, give_back), torch.autocast("cpu", enabled=dtype == "bf16"):
        loss = model.losses(tokens).mean()
    assert loss.requires_grad
    return sum(tensor.untyped_storage().nbytes() for place, tensor in held.items() if place not in constant)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_layer_keeps_what_the_formula_says_and_three_copies_that_fused_kernels_save(dtype: str) -> None:
    """The difference between six layers and two, so that embedding and head fall out.

    On a CPU the norm is not fused and keeps the normalised input, 4 W each; values are a view of the product that
    also holds the unrotated queries and keys, a (W + K); and heads are joined by a copy, a W.
    """
    tokens, a = DOCUMENTS * POSITIONS, PRODUCT_BYTES[dtype]
    two, six = (
        train_memory_bytes(DecoderSize(layers=layers, **SIZES), tokens=tokens, dtype=dtype) for layers in (2, 6)
    )
    formula = six.activations - two.activations + six.product_copies - two.product_copies
    unfused = 4 * tokens * (2 * 4 * WIDTH + a * (WIDTH + KEY_VALUE_WIDTH) + a * WIDTH)
    assert kept_bytes(6, dtype) - kept_bytes(2, dtype) == formula + unfused
