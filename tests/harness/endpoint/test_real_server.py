"""A run against a server that nobody here wrote: `transformers serve` with a tiny model of random weights."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oildrop.harness.endpoint.prompts import WORDS
from oildrop.harness.ranks.launch import free_ports
from oildrop.rules import keys
from oildrop.rules.errors import Unsupported

NEEDED = ("torch", "transformers", "accelerate", "fastapi", "uvicorn", "openai")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(MISSING), reason=f"transformers serve needs {', '.join(MISSING)}"),
]

HIDDEN, INNER, HEADS = 16, 32, 2
VOCABULARY = ("<unk>", "<eos>", *WORDS)

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": len(VOCABULARY), "hidden_size": HIDDEN,
    "intermediate_size": INNER, "num_hidden_layers": 1, "num_attention_heads": HEADS, "num_key_value_heads": HEADS,
    "max_position_embeddings": 256, "bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 1, "dtype": "float32",
}  # fmt: skip

SHAPES = {
    "model.embed_tokens.weight": (len(VOCABULARY), HIDDEN),
    **{f"model.layers.0.self_attn.{name}_proj.weight": (HIDDEN, HIDDEN) for name in "qkvo"},
    "model.layers.0.mlp.gate_proj.weight": (INNER, HIDDEN),
    "model.layers.0.mlp.up_proj.weight": (INNER, HIDDEN),
    "model.layers.0.mlp.down_proj.weight": (HIDDEN, INNER),
    "lm_head.weight": (len(VOCABULARY), HIDDEN),
}
NORMS = ("model.layers.0.input_layernorm.weight", "model.layers.0.post_attention_layernorm.weight", "model.norm.weight")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama whose tokens are the prompts' words, as Hugging Face keeps one in a folder."""
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("model")
    random = np.random.default_rng(0)
    tensors = {name: random.normal(0, 0.3, shape).astype(np.float32) for name, shape in SHAPES.items()}
    tensors |= {name: np.ones(HIDDEN, dtype=np.float32) for name in NORMS}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(VOCABULARY)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"unk_token": "<unk>", "eos_token": "<eos>", "pad_token": "<eos>"}
    template = "{% for message in messages %}{{ message['content'] }} {% endfor %}"
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": template, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


@pytest.fixture(scope="module")
def url(model: Path) -> Iterator[str]:
    port = free_ports(1)
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(model), "--device", "cpu"]
    log = (model / "serve.log").open("wb")
    with log, subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        stdout=log, stderr=log, env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    ) as server:  # fmt: skip
        try:
            wait_until_it_answers(f"http://127.0.0.1:{port}/health", server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def wait_until_it_answers(address: str, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 90
    while time.monotonic() < until:
        assert server.poll() is None, "the server ended"
        try:
            urllib.request.urlopen(address, timeout=1).close()
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.2)
        else:
            return
    raise AssertionError("the server did not start within 90 s")


@pytest.mark.parametrize("api", ["completions", "chat"])
def test_every_answer_is_whole_by_the_servers_count_and_by_its_tokenizer(
    make: Any, url: str, model: Path, api: str
) -> None:
    lengths = {"requests__output_tokens_min": "6", "requests__output_tokens_max": "6"}
    asked = {"endpoint__api": api, "scenario__concurrency": "2", **lengths}
    by_server = make(url, "concurrency", **asked)
    by_tokenizer = make(url, "concurrency", tokenizer=model / "tokenizer.json", tokens__count="tokenizer", **asked)
    for made, counted_by in ((by_server, "usage"), (by_tokenizer, "tokenizer")):
        assert made.end.claim == "ok"
        assert len(made.table.index) >= 6
        assert set(made.table.outcome) == {"ok"}
        assert set(made.table.output_tokens) == set(made.table.expected_tokens) == {6}
        assert made.log.one(keys.SERVE)[1]["tokens_counted_by"] == counted_by
        assert all(len(gaps) == 5 for gaps in made.table.gaps_ns)
        assert any(sum(gaps) > 0 for gaps in made.table.gaps_ns)
    assert by_server.table.input_tokens[:4] == by_tokenizer.table.input_tokens[:4]


def test_another_models_name_is_told_with_what_is_there(make: Any, url: str, model: Path) -> None:
    with pytest.raises(Unsupported, match="has no model 'llama'"):
        make(url, "concurrency", model="llama")
