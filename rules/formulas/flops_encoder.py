"""FLOPs of a transformer encoder, by formula: framework-free and counted by hand in the tests."""

from __future__ import annotations


def encoder_serve_flops(*, layers: int, width: int, hidden: int, tokens: int) -> int:
    """Model FLOPs of encoding one sentence of `tokens` tokens (`encoder_serve/1`), a count.

    2 x multiply-adds of the matrix products: queries, keys, values and output (4 W^2 a token), feed-forward (2 W F a
    token), scores and mix (2 W a pair of tokens, whatever the number of heads). Tables, norms, softmax and activations
    are left out, and so is what fills a short sentence up.

    Source: Kaplan et al., arXiv 2001.08361, section 2.1, with attention from every token to every token.
    """
    per_token = 4 * width**2 + 2 * width * hidden
    return 2 * layers * (tokens * per_token + 2 * width * tokens**2)
