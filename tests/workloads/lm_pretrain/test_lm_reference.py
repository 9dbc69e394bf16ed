"""The float64 reference against what can be known without it."""

import numpy as np
import pytest

from oildrop.workloads.lm_pretrain.reference import (
    InitialStd,
    ModelShape,
    gate_weights,
    initial_weights,
    log_softmax,
    rotary_angles,
    rotate,
    token_losses,
)


def tokens_of(shape: ModelShape, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, shape.vocabulary, (3, shape.positions + 1)).astype(np.int32)


def test_a_head_of_zeros_knows_nothing(shape: ModelShape) -> None:
    weights = gate_weights(shape, 1, 0.06) | {"head_VW": np.zeros((shape.vocabulary, shape.width), dtype=np.float32)}
    assert token_losses(weights, tokens_of(shape), shape) == pytest.approx(np.log(shape.vocabulary), abs=1e-14)


def test_a_loss_depends_on_no_later_token(shape: ModelShape) -> None:
    weights, tokens = gate_weights(shape, 1, 0.06), tokens_of(shape)
    changed = tokens.copy()
    changed[:, 20] = (changed[:, 20] + 1) % shape.vocabulary
    before, after = token_losses(weights, tokens, shape), token_losses(weights, changed, shape)
    assert np.array_equal(before[:, :19], after[:, :19])
    assert (np.abs(before - after)[:, 20:].max(axis=1) > 1e-9).all()


def test_a_document_is_scored_the_same_beside_others_and_alone(shape: ModelShape) -> None:
    weights, tokens = gate_weights(shape, 1, 0.06), tokens_of(shape)
    alone = np.concatenate([token_losses(weights, tokens[i : i + 1], shape) for i in range(3)])
    np.testing.assert_allclose(alone, token_losses(weights, tokens, shape), rtol=1e-13)


def test_the_model_of_one_layer_by_loops(shape: ModelShape) -> None:
    """The equations once more, one position and one head at a time; both query heads share the key-value head."""
    one = ModelShape(
        vocabulary=7,
        positions=5,
        layers=1,
        width=8,
        heads=2,
        key_value_heads=1,
        hidden=6,
        norm_epsilon=1e-2,
        rotary_base=100.0,
    )
    w = {name: tensor.astype(np.float64) for name, tensor in gate_weights(one, 3, 0.5).items()}
    tokens = tokens_of(one)[0]
    x = [w["embedding_VW"][token] for token in tokens[:-1]]

    def norm(v: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return v / np.sqrt(sum(e * e for e in v) / len(v) + 1e-2) * scale

    def turn(v: np.ndarray, position: int) -> np.ndarray:
        pairs = [complex(v[i], v[i + 2]) * np.exp(1j * position * 100.0 ** (-2 * i / 4)) for i in range(2)]
        return np.array([p.real for p in pairs] + [p.imag for p in pairs])

    qkv = [w["layers.0.query_key_value_OI"] @ norm(v, w["layers.0.attention_norm_W"]) for v in x]
    after = []
    for t in range(5):
        mixed = []
        for head in range(2):
            q = turn(qkv[t][head * 4 : head * 4 + 4], t)
            keys = [turn(qkv[s][8:12], s) for s in range(t + 1)]
            share = np.exp([q @ k / 2 for k in keys])
            mixed.append(sum(p * qkv[s][12:16] for s, p in enumerate(share / share.sum())))
        v = x[t] + w["layers.0.attention_out_OI"] @ np.concatenate(mixed)
        both = w["layers.0.gate_up_OI"] @ norm(v, w["layers.0.feed_norm_W"])
        after.append(v + w["layers.0.down_OI"] @ (both[:6] / (1 + np.exp(-both[:6])) * both[6:]))
    scores = [w["head_VW"] @ norm(v, w["norm_W"]) for v in after]
    by_loops = [np.log(np.exp(s).sum()) - s[target] for s, target in zip(scores, tokens[1:], strict=True)]
    weights = {name: tensor.astype(np.float32) for name, tensor in w.items()}
    np.testing.assert_allclose(token_losses(weights, tokens[None], one)[0], by_loops, rtol=1e-12)


def test_rotation_keeps_lengths_and_depends_on_distance_alone(shape: ModelShape) -> None:
    rng = np.random.default_rng(1)
    q, k = rng.normal(size=(2, 1, 1, 1, 16)).repeat(shape.positions, axis=3)
    q, k = rotate(q, shape), rotate(k, shape)
    scores = (q @ k.swapaxes(-1, -2))[0, 0]
    np.testing.assert_allclose(np.linalg.norm(q, axis=-1), np.linalg.norm(q[0, 0, 0]), rtol=1e-13)
    np.testing.assert_allclose(scores[10, 3:10], scores[30, 23:30], rtol=1e-9)
    assert rotary_angles(shape)[3].tolist() == pytest.approx([3 * 10000 ** (-i / 8) for i in range(8)], rel=1e-14)


def test_log_softmax_stays_finite_where_exponentials_would_not() -> None:
    found = log_softmax(np.array([1000.0, 0.0, -np.inf]))
    assert found.tolist() == [0.0, -1000.0, -np.inf]


def test_initial_weights_have_their_standard_deviations(shape: ModelShape) -> None:
    weights = initial_weights(shape, 5, InitialStd(embedding=1.0, head=0.03, residual_gain=0.5))
    expected = {"embedding_VW": 1.0, "head_VW": 0.03, "query_key_value_OI": 32**-0.5, "gate_up_OI": 32**-0.5}
    expected |= {"attention_out_OI": 0.5 * 32**-0.5, "down_OI": 0.5 * 48**-0.5}
    assert list(weights) == list(shape.tensors())
    for name, weight in weights.items():
        if weight.ndim == 1:
            assert (weight == 1).all()
        else:
            assert weight.std() == pytest.approx(expected[name.rsplit(".", 1)[-1]], rel=0.06)
