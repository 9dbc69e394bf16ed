"""Decoding one request at a time: our engine, transformers' `generate` of the same weights, and what memory allows."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from pairs import interleaved

from oildrop.harness.bandwidth import READS, measure_read_bandwidth
from oildrop.harness.devices.opening import open_device
from oildrop.rules.loading import load_rulebook
from oildrop.rules.rulebook import settings_of
from oildrop.workloads.cores import physical_cores
from oildrop.workloads.lm_generate.batcher import Batcher, Waiting
from oildrop.workloads.lm_generate.sampling import Greedy
from oildrop.workloads.lm_generate.serving import unbuilt_generator
from oildrop.workloads.lm_generate.shapes import model_shape
from oildrop.workloads.lm_generate.traffic import cache_bytes, weight_bytes
from oildrop.workloads.lm_pretrain.reference import ModelShape, initial_std_of, initial_weights

PROMPT = 16
READ_BYTES = 2**30
TIERS = ("nano", "small")
FORMATS = ("fp32 as-trained", "bf16 as-trained", "bf16 int8", "bf16 int4")
MODES = ("eager", "inductor")
"""Of `execution.compile`."""


class Ours:
    """A generator of a tier's shape, answering one request."""

    def __init__(self, tier: str, dtype: str, scheme: str, compiled: str = "eager") -> None:
        settings = settings_of(load_rulebook().benchmarks["lm-generate"].tiers[tier])
        settings |= {"execution.dtype": dtype, "execution.weights": scheme, "execution.slots": 1}
        settings["execution.compile"] = compiled
        self.shape = model_shape(settings)
        self.weights = initial_weights(self.shape, 1, initial_std_of(settings))
        self.generator = unbuilt_generator(settings, open_device("torch-cpu"))
        self.generator.build()
        self.generator.set_weights(self.weights)
        self.prompt = np.arange(PROMPT, dtype=np.int32)

    def answer(self, count: int) -> list[int]:
        """The first `count` tokens after the prompt."""
        return list(self._tokens(count))

    def steps_per_s(self, count: int) -> float:
        """Tokens a second after the first, of an answer of `count` tokens."""
        tokens = self._tokens(count)
        next(tokens)
        start = time.perf_counter()
        rest = len(list(tokens))
        return rest / (time.perf_counter() - start)

    def _tokens(self, count: int) -> Iterator[int]:
        batcher = Batcher(self.generator, Greedy(), slots=1, prefill_requests=1)
        batcher.admit([Waiting(index=0, prompt=self.prompt, output_tokens=count)])
        while emissions := batcher.step():
            yield from emissions[0].tokens


def transformers_model(shape: ModelShape, weights: Any, dtype: str) -> Any:
    """The same decoder in transformers, at the same weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        max_position_embeddings=shape.positions,
        rms_norm_eps=shape.norm_epsilon,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rotary_base},
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    model = LlamaForCausalLM(config).eval()
    model.load_state_dict({name: torch.from_numpy(values) for name, values in _renamed(shape, weights)}, strict=True)
    return model.to({"fp32": torch.float32, "bf16": torch.bfloat16}[dtype])


def transformers_answer(model: Any, prompt: Any, count: int) -> list[int]:
    """The first `count` tokens after the prompt, greedy."""
    import torch

    asked = torch.from_numpy(prompt)[None].long()
    options = {"max_new_tokens": count, "min_new_tokens": count, "do_sample": False}
    with torch.inference_mode():
        found = model.generate(asked, attention_mask=torch.ones_like(asked), **options)
    return found[0, len(prompt) :].tolist()


def _renamed(shape: ModelShape, weights: Any) -> Any:
    """Our tensors by transformers' names."""
    yield "model.embed_tokens.weight", weights["embedding_VW"]
    yield "model.norm.weight", weights["norm_W"]
    yield "lm_head.weight", weights["head_VW"]
    names = {"attention_norm_W": "input_layernorm", "feed_norm_W": "post_attention_layernorm"}
    names |= {"attention_out_OI": "self_attn.o_proj", "down_OI": "mlp.down_proj"}
    cuts = np.cumsum([shape.heads, shape.key_value_heads]) * shape.head_width
    for i in range(shape.layers):
        ours, theirs = f"layers.{i}.", f"model.layers.{i}."
        for name, other in names.items():
            yield f"{theirs}{other}.weight", weights[ours + name]
        for letter, part in zip("qkv", np.split(weights[ours + "query_key_value_OI"], cuts), strict=True):
            yield f"{theirs}self_attn.{letter}_proj.weight", part
        for name, part in zip(("gate", "up"), np.split(weights[ours + "gate_up_OI"], 2), strict=True):
            yield f"{theirs}mlp.{name}_proj.weight", part


def decode_against_transformers(
    framework: str, tier: int, dtype: int, mode: int, count: int, pairs: int
) -> list[list[float]]:
    """Tokens a second of ours and of `generate`, of an answer of `count` tokens."""
    name = FORMATS[dtype].split()[0]
    ours = Ours(TIERS[tier], name, "as-trained", MODES[mode])
    model = transformers_model(ours.shape, ours.weights, name)
    return list(
        interleaved(
            lambda: _rate(count, lambda: ours.answer(count)),
            lambda: _rate(count, lambda: transformers_answer(model, ours.prompt, count)),
            pairs=pairs,
            warm_up=2,
        )
    )


def decode_bandwidth(framework: str, tier: int, form: int, mode: int, count: int, pairs: int) -> list[list[float]]:
    """Bytes a second that decoding reads, and that this machine reads at all: each the best of READS."""
    dtype, scheme = FORMATS[form].split()
    ours = Ours(TIERS[tier], dtype, scheme, MODES[mode])
    step_bytes = _step_bytes(ours.shape, dtype, scheme, count)
    return _beside_reads(lambda: step_bytes * ours.steps_per_s(count), pairs)


def transformers_bandwidth(framework: str, tier: int, form: int, count: int, pairs: int) -> list[list[float]]:
    """Likewise of transformers' `generate`, the reading of its short prompt included."""
    dtype, scheme = FORMATS[form].split()
    ours = Ours(TIERS[tier], dtype, scheme)
    model = transformers_model(ours.shape, ours.weights, dtype)
    step_bytes = _step_bytes(ours.shape, dtype, scheme, count)
    return _beside_reads(
        lambda: step_bytes * _rate(count, lambda: transformers_answer(model, ours.prompt, count)), pairs
    )


def _step_bytes(shape: ModelShape, dtype: str, scheme: str, count: int) -> int:
    """What a step reads on average over an answer of `count` tokens."""
    return weight_bytes(shape, dtype, scheme) + cache_bytes(shape, dtype, PROMPT + count // 2)


def _beside_reads(bytes_per_s: Callable[[], float], pairs: int) -> list[list[float]]:
    """What else runs on the machine slows the one and the other, so that of both the best tries are told."""
    reads = functools.partial(measure_read_bandwidth, READ_BYTES, physical_cores())
    return list(interleaved(lambda: max(bytes_per_s() for _ in range(READS)), reads, pairs=pairs, warm_up=1))


def _rate(count: int, answer: Callable[[], list[int]]) -> float:
    """Tokens a second of a whole answer, the reading of its short prompt included."""
    start = time.perf_counter()
    found = answer()
    seconds = time.perf_counter() - start
    if len(found) != count:
        raise ValueError(f"{len(found)} tokens where {count} were asked for")
    return count / seconds
