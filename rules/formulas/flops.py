"""FLOPs of a decoder-only transformer, by formula: framework-free and counted by hand in the tests."""

from __future__ import annotations


def decoder_train_flops_per_token(
    *, layers: int, width: int, heads: int, key_value_heads: int, hidden: int, vocabulary: int, positions: int
) -> int:
    """Model FLOPs of one training step a scored token (`decoder_train/1`), a count.

    Forward: 2 N + 4 L H Q S, with N the weights that tokens are multiplied by (attention, gated feed-forward network
    and output head; not the embedding, which is looked up), L layers, H heads of width Q, and S = (T + 1) / 2 the mean
    number of positions that a causal query sees. Training is three forwards: one for the loss, two for the gradients
    of inputs and weights. Normalisation, rotation, activations, softmax, optimizer and evaluations are left out.

    Args:
        positions: T, scored tokens of a document.

    Source: Kaplan et al., arXiv 2001.08361, section 2.1, and Chowdhery et al., arXiv 2204.02311, appendix B, there
    without the factor for causality.
    """
    key_value_width = width // heads * key_value_heads
    weights = layers * (2 * width * (width + key_value_width) + 3 * width * hidden) + vocabulary * width
    attention = 2 * layers * heads * (width // heads) * (positions + 1)
    return 3 * (2 * weights + attention)


def decoder_serve_flops(
    *,
    layers: int,
    width: int,
    heads: int,
    key_value_heads: int,
    hidden: int,
    vocabulary: int,
    input_tokens: int,
    output_tokens: int,
    depth_tokens: int = 0,
) -> int:
    """Model FLOPs of answering one request (`decoder_serve/1`), a count.

    A position that sees s others and itself costs 2 N + 4 L H Q (s + 1) in the layers, and 2 V W in the output head
    where a token is predicted from it. The prompt is `input_tokens` positions with one prediction, from its last; each
    output token but the last is one more position with one prediction. Every position sees `depth_tokens` more, which
    were read before and cost nothing here. Symbols and what is left out as in `decoder_train_flops_per_token`; N here
    is without the head.
    """
    key_value_width = width // heads * key_value_heads
    weights = layers * (2 * width * (width + key_value_width) + 3 * width * hidden)
    positions = input_tokens + max(output_tokens - 1, 0)
    attention = 4 * layers * heads * (width // heads) * (positions * depth_tokens + positions * (positions + 1) // 2)
    return 2 * weights * positions + attention + 2 * vocabulary * width * output_tokens
