"""FLOPs of an encoder, counted product by product."""

from __future__ import annotations

from oildrop.rules.formulas.flops_encoder import encoder_serve_flops
from oildrop.rules.formulas.flops_table import SERVED_FLOPS


def product(rows: int, inner: int, columns: int) -> int:
    """Multiply-adds of one matrix product, twice."""
    return 2 * rows * inner * columns


def test_one_sentence_counted_product_by_product() -> None:
    """Three layers of width 8, two heads of 4, hidden 20, five tokens."""
    attention = 3 * product(5, 8, 8) + 2 * (product(5, 4, 5) + product(5, 5, 4)) + product(5, 8, 8)
    feed_forward = product(5, 8, 20) + product(5, 20, 8)
    assert encoder_serve_flops(layers=3, width=8, hidden=20, tokens=5) == 3 * (attention + feed_forward)


def test_the_table_takes_the_tokens_of_the_request() -> None:
    settings = {"model.layers": 3, "model.width": 8, "model.hidden": 20}
    found = SERVED_FLOPS["encoder_serve/1"](settings, 5, 1)
    assert found == encoder_serve_flops(layers=3, width=8, hidden=20, tokens=5)
