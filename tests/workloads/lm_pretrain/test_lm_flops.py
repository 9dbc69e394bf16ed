"""FLOPs a token: counted by hand, and against the matrix products that PyTorch performs."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from oildrop.rules.formulas.flops import decoder_train_flops_per_token
from oildrop.workloads.lm_pretrain.model_torch import Decoder
from oildrop.workloads.lm_pretrain.reference import ModelShape


def test_a_small_model_by_hand() -> None:
    """One layer, width 4, two heads, hidden 6, vocabulary 10, three positions."""
    multiply_adds = 12 * 4 + 4 * 4 + 12 * 4 + 4 * 6 + 10 * 4  # q k v, out, gate and up, down, head
    assert multiply_adds == 176
    attention = sum(2 * 2 * seen * 4 for seen in (1, 2, 3)) / 3  # scores and mixing over 1, 2, 3 positions, width 4
    expected = 3 * (2 * multiply_adds + attention)
    found = decoder_train_flops_per_token(
        layers=1, width=4, heads=2, key_value_heads=2, hidden=6, vocabulary=10, positions=3
    )
    assert found == expected == 1152


class MatrixProducts(TorchDispatchMode):
    """Adds up 2 m k n of each product of [m, k] and [k, n]."""

    flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.mm.default:
            self.flops += 2 * args[0].shape[0] * args[0].shape[1] * args[1].shape[1]
        return func(*args, **(kwargs or {}))


def test_matrix_products_are_those_that_pytorch_performs(shape: ModelShape) -> None:
    """Every matrix product of a forward and backward pass is seen; attention is fused, so that part is taken away."""
    model = Decoder(shape)
    with MatrixProducts() as counter:
        model.losses(torch.zeros((2, shape.positions + 1), dtype=torch.long)).sum().backward()
    attention = 3 * 2 * shape.layers * shape.width * (shape.positions + 1)
    found = decoder_train_flops_per_token(
        layers=shape.layers,
        width=shape.width,
        heads=shape.heads,
        key_value_heads=shape.key_value_heads,
        hidden=shape.hidden,
        vocabulary=shape.vocabulary,
        positions=shape.positions,
    )
    assert (found - attention) * 2 * shape.positions == counter.flops
