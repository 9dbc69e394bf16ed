"""The float64 encoder against Hugging Face's, and what is made of embeddings against hand-worked cases."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from oildrop.workloads.embed import reference
from oildrop.workloads.embed.requests import Requests
from oildrop.workloads.embed.subject import codes, contrastive_loss, neighbours_kept


def huggingface_embeddings(
    shape: reference.EncoderShape, weights: dict[str, Any], tokens: Any, lengths: Any
) -> np.ndarray[Any, Any]:
    """As the model's card says: BertModel, the mean over the attention mask, then length 1; in float64."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.hidden,
        max_position_embeddings=shape.positions,
        layer_norm_eps=shape.norm_epsilon,
        hidden_act="gelu",
    )
    model = transformers.BertModel(config, add_pooling_layer=False).eval().double()
    state = {name: torch.from_numpy(array).double() for name, array in weights.items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert (missing, unexpected) == ([], [])
    mask = torch.arange(tokens.shape[1]) < torch.from_numpy(lengths)[:, None]
    with torch.inference_mode():
        hidden = model(input_ids=torch.from_numpy(tokens).long(), attention_mask=mask.long()).last_hidden_state
        mean = (hidden * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        return torch.nn.functional.normalize(mean, dim=1).numpy()


def test_embeddings_are_hugging_faces(embed_settings: dict[str, Any]) -> None:
    shape = reference.shape_of(embed_settings)
    weights = reference.gate_weights(shape, 3, 0.2)
    tokens, lengths = Requests(embed_settings, 3).batch(range(6))
    expected = huggingface_embeddings(shape, weights, tokens, lengths)
    assert reference.embeddings(shape, weights, tokens, lengths) == pytest.approx(expected, abs=1e-12)


def test_what_fills_a_sentence_up_does_not_matter(embed_settings: dict[str, Any]) -> None:
    shape = reference.shape_of(embed_settings)
    weights = reference.gate_weights(shape, 3, 0.2)
    tokens, lengths = Requests(embed_settings, 3).batch([0])
    alone = reference.embeddings(shape, weights, tokens[:, : lengths[0]], lengths)
    tokens[:, lengths[0] :] = 17
    assert reference.embeddings(shape, weights, tokens, lengths) == pytest.approx(alone, abs=1e-14)
    assert np.linalg.norm(alone) == pytest.approx(1.0)


def test_random_weights_have_berts_spread(embed_settings: dict[str, Any]) -> None:
    weights = reference.initial_weights(reference.shape_of(embed_settings), 1)
    assert weights["embeddings.word_embeddings.weight"].std() == pytest.approx(0.02, rel=0.05)
    assert set(weights["embeddings.LayerNorm.weight"].tolist()) == {1.0}
    assert set(weights["encoder.layer.0.output.dense.bias"].tolist()) == {0.0}


def test_a_code_has_a_bit_for_each_of_the_first_signs() -> None:
    row = np.full(70, -1.0, dtype=np.float32)
    row[[0, 3, 62]] = 0.5
    assert codes(row[None]) == [1 + 8 + 2**62]
    row[63] = 0.5
    assert codes(row[None]) == [1 + 8 + 2**62 - 2**63]
    assert codes(np.array([[1.0, -1.0, 0.0, 2.0]], dtype=np.float32)) == [9]


def test_contrastive_loss_of_two_sentences_by_hand() -> None:
    """Cosines 1 and 0.6 with the own and the other one: ln(1 + e^(20 (0.6 - 1)))."""
    expected = np.array([[1.0, 0.0], [0.6, 0.8]])
    assert contrastive_loss(expected, expected) == pytest.approx([math.log1p(math.exp(-8.0))] * 2)
    swapped = contrastive_loss(expected[::-1], expected)
    assert swapped == pytest.approx([math.log1p(math.exp(8.0))] * 2)


def test_neighbours_of_four_sentences_by_hand() -> None:
    """On a circle at 0°, 10°, 50° and 90°: 0° and 10° are each other's nearest, 50° is as near to 10° as to 90°.

    The third at 60° is nearest to 90°, which by the reference is as near as any. With the second at 200° and the fourth
    at 120° the first and the third are each other's nearest, which is wrong of both, and the second's is the fourth.
    """

    def circle(*degrees: float) -> np.ndarray[Any, Any]:
        radians = np.radians(degrees)
        return np.stack((np.cos(radians), np.sin(radians)), axis=1)

    right = circle(0, 10, 50, 90)
    assert neighbours_kept(right, right).tolist() == [True] * 4
    assert neighbours_kept(circle(0, 10, 60, 90), right).tolist() == [True] * 4
    assert neighbours_kept(circle(0, 200, 50, 120), right).tolist() == [False, False, False, True]
    assert neighbours_kept(right[:1], right[:1]).tolist() == [True]
