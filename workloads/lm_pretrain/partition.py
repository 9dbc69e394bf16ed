"""Which axis of the decoder's tensors several chips share along the mesh axis `model`; see `workloads/partition.py`.

Each chip has whole heads, a part of the feed-forward network's hidden width, and a part of the vocabulary. Matrices
that read the residual stream are cut along their outputs and those that write into it along their inputs, so that a
layer's two halves need one sum across chips each. Norms are whole on every chip.
"""

from __future__ import annotations

from oildrop.rules.formulas.flops_table import decoder_size
from oildrop.workloads.protocols import Settings

MODEL_AXIS = {
    "embedding_VW": 0,
    "query_key_value_OI": 0,
    "attention_out_OI": 1,
    "gate_up_OI": 0,
    "down_OI": 1,
    "head_VW": 0,
}
"""By the last part of the canonical name.

Source: Shoeybi et al., arXiv 1909.08053, section 3.
"""


def divided(settings: Settings) -> dict[str, int]:
    """Heads, hidden width and vocabulary."""
    size = decoder_size(settings)
    return {
        "model.key_value_heads": size.key_value_heads,
        "model.heads": size.heads,
        "model.hidden": size.hidden,
        "the vocabulary": size.vocabulary,
    }


def inputs(settings: Settings) -> tuple[tuple[tuple[int, ...], str], ...]:
    """Tokens of whole documents with their start, [B, S]."""
    return (((int(settings["data.documents_per_batch"]), decoder_size(settings).positions + 1), "int32"),)
