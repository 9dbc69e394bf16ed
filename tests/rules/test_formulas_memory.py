"""Memory of training: a model small enough to count on paper, and how the amounts grow."""

import dataclasses

import pytest

from oildrop.rules.formulas.memory import DecoderSize, layer_activation_bytes_per_token, train_memory_bytes

TINY = DecoderSize(layers=1, width=4, heads=2, key_value_heads=1, hidden=6, vocabulary=10, positions=3)
LLAMA_8B = DecoderSize(
    layers=32, width=4096, heads=32, key_value_heads=8, hidden=14336, vocabulary=128_256, positions=8192
)


def test_parameters_of_a_tiny_model_by_hand():
    query_key_value, out, gate_up, down, norms = 4 * (4 + 2 + 2), 4 * 4, 4 * 12, 6 * 4, 2 * 4
    assert query_key_value + out + gate_up + down + norms == 128
    assert TINY.parameters == 128 + 10 * 4 + 10 * 4 + 4 == 212


def test_parameters_of_a_model_whose_number_is_public():
    """Llama 3.1 8B has 8,030,261,248 parameters, as its published weights sum to."""
    assert LLAMA_8B.parameters == 8_030_261_248


def test_fp32_training_of_a_tiny_model_by_hand():
    """Two tokens, each number 4 bytes: the tensors that the backward pass needs, one by one."""
    layer_token = sum(
        [
            4 * 4 + 4,  # input and root mean square of the first norm
            4 * 4,  # input of query-key-value
            4 * 4 + 4 * 2 + 4 * 2,  # queries, keys, values
            4 * 2,  # a logarithm for each of two heads
            4 * 4,  # attention's output
            4 * 4 + 4,  # the second norm
            4 * 4,  # input of gate-up
            4 * 6 * 4,  # gate, up, silu(gate), their product
        ]
    )
    assert layer_token == layer_activation_bytes_per_token(TINY, dtype="fp32") == 224
    logits_token = 4 * 4 + 4 * 4 + 3 * 4 * 10
    found = train_memory_bytes(TINY, tokens=2, dtype="fp32")
    assert (found.weights, found.gradients, found.moments, found.average) == (848, 848, 1696, 848)
    assert (found.product_copies, found.activations, found.logits) == (0, 2 * 224, 2 * logits_token)
    assert found.total == 20 * 212 + 448 + 304


def test_bf16_keeps_a_copy_of_each_matrix_and_halves_what_products_keep():
    found = train_memory_bytes(TINY, tokens=2, dtype="bf16")
    assert found.product_copies == 2 * (32 + 16 + 48 + 24 + 40)
    fp32_part = 2 * (4 * 4 + 4) + 4 * 2
    assert found.activations == 2 * (fp32_part + (224 - fp32_part) / 2)
    assert found.logits == 2 * (4 * 4 + 2 * 4 + (2 + 12) * 10)


def test_recomputing_keeps_the_input_of_each_layer_and_one_whole_layer():
    deep = dataclasses.replace(TINY, layers=5)
    assert train_memory_bytes(deep, tokens=3, dtype="fp32").activations == 3 * 5 * 224
    assert train_memory_bytes(deep, tokens=3, dtype="fp32", recompute=True).activations == 3 * (5 * 4 * 4 + 224)


def test_sharding_divides_the_state_and_gathers_two_layers():
    deep = dataclasses.replace(TINY, layers=5)
    whole, shared = (train_memory_bytes(deep, tokens=3, dtype="fp32", shards=shards) for shards in (1, 4))
    assert deep.parameters == 5 * 128 + 84 == 724
    assert shared.weights == 4 * 181
    assert shared.moments == 2 * shared.weights
    assert shared.product_copies == 4 * (2 * 120 + 40)
    assert (shared.activations, shared.logits) == (whole.activations, whole.logits)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_the_total_is_the_sum_of_all_kinds_and_linear_in_tokens(dtype):
    none, one, ten = (train_memory_bytes(TINY, tokens=tokens, dtype=dtype) for tokens in (0, 1, 10))
    assert ten.total == sum(dataclasses.asdict(ten).values())
    assert ten.total - none.total == 10 * (one.total - none.total) > 0
