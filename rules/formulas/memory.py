"""Memory that training a decoder-only transformer takes, by formula: framework-free and counted by hand in the tests.

Symbols: N parameters, n tokens a step on a device, L layers, W width, K width of the key-value heads together,
H heads, F hidden width, V vocabulary, a bytes of one number in matrix products (4 in fp32, 2 in bf16).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

PRODUCT_BYTES = {"fp32": 4, "bf16": 2}
"""a: bytes of one number in matrix products by `execution.dtype`; all else is kept in fp32."""
FP32 = 4


@dataclass(frozen=True, kw_only=True)
class DecoderSize:
    """Sizes of a decoder; `positions` are the scored tokens of a document."""

    layers: int
    width: int
    heads: int
    key_value_heads: int
    hidden: int
    vocabulary: int
    positions: int

    @property
    def key_value_width(self) -> int:
        """K: width of the keys, which the values have too."""
        return self.width // self.heads * self.key_value_heads

    @property
    def layer_matrix_parameters(self) -> int:
        """Parameters of one layer's matrices: query and output W^2 each, key and value W K each, three of W F."""
        return 2 * self.width * (self.width + self.key_value_width) + 3 * self.width * self.hidden

    @property
    def parameters(self) -> int:
        """N: the layers' matrices and two norms of W each, embedding and head of V W each, and the last norm."""
        layer = self.layer_matrix_parameters + 2 * self.width
        return self.layers * layer + 2 * self.vocabulary * self.width + self.width


@dataclass(frozen=True, kw_only=True)
class TrainMemory:
    """What one device holds at the fullest moment of a training step, bytes by kind.

    Attributes:
        weights, gradients, average: fp32, 4 bytes a parameter each; `average` is the running one that is scored.
        moments: AdamW's two, 8 bytes a parameter.
        product_copies: Weights once more in the dtype of matrix products; 0 where that is fp32.
        activations: What the backward pass needs of the forward one.
        logits: The scores and what their loss needs.
    """

    weights: int
    gradients: int
    moments: int
    average: int
    product_copies: int
    activations: int
    logits: int

    @classmethod
    def with_adamw(
        cls, parameters: int, shards: int, *, product_copies: int, activations: int, logits: int
    ) -> TrainMemory:
        """Of a device that keeps the state of its part of `parameters`, which `shards` devices divide among them."""
        state = FP32 * -(-parameters // shards)
        return cls(
            weights=state,
            gradients=state,
            moments=2 * state,
            average=state,
            product_copies=product_copies,
            activations=activations,
            logits=logits,
        )

    @property
    def total(self) -> int:
        """All kinds together."""
        return sum(getattr(self, field.name) for field in fields(self))


def train_memory_bytes(
    size: DecoderSize, *, tokens: int, dtype: str, recompute: bool = False, shards: int = 1
) -> TrainMemory:
    """Memory of AdamW training on one of `shards` devices (`decoder_memory/1`), bytes.

    State, a parameter: 4 weight + 4 gradient + 8 two moments + 4 running average, divided among `shards` devices.
    Where products are not in fp32, autocast keeps a copy of each weight matrix in their dtype until the backward pass,
    a bytes a matrix parameter; sharded, a device holds that copy of two layers only, the one at work and the next,
    and of the head (of fp32 weights too, as these are gathered).

    Activations, a token and layer: both norms keep their input of the residual stream, 2 x 4 W, and a root mean square
    of 4 each; products keep their inputs, a W each into query-key-value, into the output matrix and into gate-up; fused
    attention keeps queries a W, keys and values 2 a K, and a logarithm of 4 a head; its output is the input of
    the output matrix; the gated unit keeps gate, up, silu(gate), and their product, 4 a F. In sum
    8 W + 8 + 4 a W + 2 a K + 4 H + 4 a F. With `recompute` each layer keeps its input alone, 4 W,
    and one layer at a time is kept whole.

    Logits, a token: the last norm's input 4 W and the head's a W, then V scores four times at most: in a bytes (where
    that is not fp32), in fp32, their log-softmax, and its gradient.

    Left out, as it depends on the software: temporaries, kernels' workspace, allocator and driver, and what unfused
    kernels keep beside (PyTorch on a CPU, without compilation: 8 W + a (2 W + K) more a token and layer).

    Args:
        tokens: n, scored tokens of the documents that one device takes a step.
        shards: Devices among which weights, gradients and optimizer state are divided (fully sharded data parallel).

    Source: Rajbhandari et al., arXiv 1910.02054, section 3 (state); Korthikanti et al., arXiv 2205.05198, section 4,
    whose terms are here those of this decoder; Dao et al., arXiv 2205.14135 (what fused attention keeps).
    """
    a = PRODUCT_BYTES[dtype]
    layer_token = layer_activation_bytes_per_token(size, dtype=dtype)
    kept = FP32 * size.width * size.layers + layer_token if recompute else layer_token * size.layers
    narrow_scores = a if a < FP32 else 0
    logits_token = (FP32 + a) * size.width + (narrow_scores + 3 * FP32) * size.vocabulary
    return TrainMemory.with_adamw(
        size.parameters,
        shards,
        product_copies=_product_copies(size, a, shards),
        activations=tokens * kept,
        logits=tokens * logits_token,
    )


def layer_activation_bytes_per_token(size: DecoderSize, *, dtype: str) -> int:
    """What one layer keeps of one token for its backward pass, bytes; derived in `train_memory_bytes`."""
    a = PRODUCT_BYTES[dtype]
    residual_and_norms = 2 * FP32 * (size.width + 1)
    attention = a * (3 * size.width + 2 * size.key_value_width) + FP32 * size.heads
    feed_forward = a * (size.width + 4 * size.hidden)
    return residual_and_norms + attention + feed_forward


def _product_copies(size: DecoderSize, a: int, shards: int) -> int:
    head = size.vocabulary * size.width
    if shards > 1:
        return a * (min(2, size.layers) * size.layer_matrix_parameters + head)
    return 0 if a == FP32 else a * (size.layers * size.layer_matrix_parameters + head)
