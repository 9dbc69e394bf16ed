"""The roofline: which side bounds, and the traffic of a step counted on paper."""

import pytest

from oildrop.rules.formulas.memory import DecoderSize, train_memory_bytes
from oildrop.rules.formulas.roofline import Work, decoder_step_moved_bytes

TINY = DecoderSize(layers=1, width=4, heads=2, key_value_heads=1, hidden=6, vocabulary=10, positions=3)


@pytest.mark.parametrize(
    ("flop", "moved_bytes", "mfu", "expected_s"),
    [
        (100.0, 1.0, 1.0, 10.0),  # 100 / 10, while 1 byte takes half a second
        (100.0, 1.0, 0.4, 25.0),
        (1.0, 60.0, 1.0, 30.0),  # traffic bounds: 60 / 2
        (1.0, 60.0, 0.4, 30.0),  # and does not depend on the peak
        (0.0, 0.0, 1.0, 0.0),
    ],
)
def test_the_longer_side_counts(flop, moved_bytes, mfu, expected_s):
    found = Work(flop=flop, moved_bytes=moved_bytes).seconds(peak_flop_per_s=10.0, bandwidth_bytes_per_s=2.0, mfu=mfu)
    assert found == pytest.approx(expected_s)


def test_an_unknown_bandwidth_leaves_arithmetic_alone():
    assert Work(flop=100.0, moved_bytes=1e9).seconds(peak_flop_per_s=10.0, bandwidth_bytes_per_s=None) == 10.0


def test_traffic_of_a_tiny_model_by_hand():
    """212 parameters in fp32: 40 of optimizer, 4 + 4 read forward and backward, 4 of gradient written."""
    memory = train_memory_bytes(TINY, tokens=2, dtype="fp32")
    kept = memory.activations + memory.logits
    assert decoder_step_moved_bytes(TINY, memory, dtype="fp32") == 212 * (40 + 4 + 4 + 4) + 2 * kept


def test_bf16_adds_the_copy_and_sharding_leaves_a_part_of_the_optimizer():
    memory = train_memory_bytes(TINY, tokens=2, dtype="bf16")
    kept = memory.activations + memory.logits
    whole = decoder_step_moved_bytes(TINY, memory, dtype="bf16")
    assert whole == 212 * (40 + 2 + 2 + 4 + 2 + 4) + 2 * kept
    assert whole - decoder_step_moved_bytes(TINY, memory, dtype="bf16", shards=4) == 40 * (212 - 53)
