"""The memory formula against what PyTorch keeps between a forward and a backward pass, to the byte."""

from __future__ import annotations

from typing import Any

import pytest

from oildrop.rules.formulas.flops_table import conv_size
from oildrop.rules.formulas.memory import PRODUCT_BYTES
from oildrop.rules.formulas.memory_conv import conv_train_memory_bytes
from oildrop.workloads.image_classify.reference import config_of

torch = pytest.importorskip("torch")

IMAGES, LOSS_BYTES = 6, 4
SETTINGS = {"model.width": 16, "model.norm_groups": 4, "model.norm_epsilon": 1e-5, "data.side_px": 9}
LABEL_BYTES = 8
"""cross_entropy keeps labels as int64; and the count of all, 4 bytes, once (LOSS_BYTES)."""


def kept_bytes(dtype: str) -> int:
    """Bytes of the distinct storages that the backward pass holds on to, fp32 weights left out."""
    from oildrop.workloads.image_classify.model_torch import make_model

    model = make_model(SETTINGS)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.05)
    constant = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    held: dict[int, Any] = {}

    def note(tensor: Any) -> Any:
        held.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    images, labels = torch.randn(IMAGES, 9, 9), torch.zeros(IMAGES, dtype=torch.int32)
    hooks = torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", enabled=dtype == "bf16"):
        loss = model.losses(images, labels).mean()
    assert loss.requires_grad
    return sum(tensor.untyped_storage().nbytes() for place, tensor in held.items() if place not in constant)


def test_the_formula_counts_the_parameters_that_the_network_has() -> None:
    from oildrop.workloads.image_classify.model_torch import make_model

    assert conv_size(SETTINGS).parameters == sum(weight.numel() for weight in make_model(SETTINGS).parameters())
    assert conv_size(SETTINGS).channels[1:] == tuple(out for _, out in config_of(SETTINGS).channels())


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_the_network_keeps_what_the_formula_says(dtype: str) -> None:
    """Of the scores only the log-softmax is kept until the backward pass; on a CPU norm and SiLU work in bf16."""
    size = conv_size(SETTINGS)
    formula = conv_train_memory_bytes(size, images=IMAGES, dtype=dtype)
    scores = IMAGES * (PRODUCT_BYTES[dtype] * 64 + 4 * 10)
    # 9, 5, 5 and 3 pixels a side after the layers, of 16, 32, 32 and 64 channels: two inputs each, 2 bytes narrower.
    narrower = IMAGES * 2 * 2 * (81 * 16 + 25 * 32 + 25 * 32 + 9 * 64) if dtype == "bf16" else 0
    expected = formula.activations + formula.product_copies - narrower + scores
    assert kept_bytes(dtype) == expected + IMAGES * LABEL_BYTES + LOSS_BYTES
