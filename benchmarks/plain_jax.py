"""The model of `lm-pretrain` in JAX as somebody would write it without Oildrop: a yardstick of our own training loop.

Nothing of the project is imported here. Tokens are random, made beforehand and sliced; weights are JAX's own. A
running average of the weights belongs to the task, so this loop keeps one too.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

Tree = Any
DECAY = 0.95


def new_parameters(key: Array, *, vocabulary: int, width: int, hidden: int, layers: int) -> Tree:
    """Matrices [inputs, outputs] and norms' scales."""
    keys = iter(jax.random.split(key, 2 + 4 * layers))

    def matrix(inputs: int, outputs: int) -> Array:
        return jax.random.normal(next(keys), (inputs, outputs)) / np.sqrt(inputs)

    blocks = [
        {
            "norm1": jnp.ones(width),
            "qkv": matrix(width, 3 * width),
            "out": matrix(width, width),
            "norm2": jnp.ones(width),
            "gate_up": matrix(width, 2 * hidden),
            "down": matrix(hidden, width),
        }
        for _ in range(layers)
    ]
    return {
        "embed": matrix(vocabulary, width),
        "blocks": blocks,
        "norm": jnp.ones(width),
        "head": matrix(width, vocabulary),
    }


def rms_norm(x: Array, scale: Array) -> Array:
    return x * jax.lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + 1e-5) * scale


def rotate(x: Array, cos: Array, sin: Array) -> Array:
    """Rotary positions on the two halves of each head, [batch, length, heads, head width]."""
    a, b = jnp.split(x, 2, axis=-1)
    return jnp.concatenate((a * cos - b * sin, a * sin + b * cos), axis=-1)


def mean_loss(parameters: Tree, tokens: Array, heads: int) -> Array:
    """Mean cross-entropy of the next tokens."""
    batch, length = tokens.shape[0], tokens.shape[1] - 1
    x = parameters["embed"][tokens[:, :-1]]
    half = x.shape[-1] // heads // 2
    angles = jnp.outer(jnp.arange(length), 10000.0 ** (-jnp.arange(half) / half))[:, None]
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    for block in parameters["blocks"]:
        qkv = (rms_norm(x, block["norm1"]) @ block["qkv"]).reshape(batch, length, 3, heads, -1)
        q, k, v = rotate(qkv[:, :, 0], cos, sin), rotate(qkv[:, :, 1], cos, sin), qkv[:, :, 2]
        x = x + jax.nn.dot_product_attention(q, k, v, is_causal=True).reshape(x.shape) @ block["out"]
        gate, up = jnp.split(rms_norm(x, block["norm2"]) @ block["gate_up"], 2, axis=-1)
        x = x + (jax.nn.silu(gate) * up) @ block["down"]
    logits = rms_norm(x, parameters["norm"]) @ parameters["head"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:]).mean()


class PlainLoop:
    """A plain training loop over tokens made beforehand: one jitted step of gradient, AdamW and running average."""

    def __init__(self, *, batch: int, length: int, vocabulary: int, heads: int, **shape: int) -> None:
        optimizer = optax.adamw(1e-3, b1=0.9, b2=0.98)
        self.parameters = new_parameters(jax.random.key(0), vocabulary=vocabulary, **shape)
        self.average = jax.tree.map(jnp.copy, self.parameters)
        self.state = optimizer.init(self.parameters)
        self.tokens = np.random.default_rng(0).integers(vocabulary, size=(64 * batch, length + 1), dtype=np.int32)
        self.batch = batch
        self.cursor = 0

        @partial(jax.jit, donate_argnums=(0, 1, 2))
        def step(parameters: Tree, average: Tree, state: Tree, tokens: Array) -> tuple[Tree, Tree, Tree, Array]:
            loss, gradients = jax.value_and_grad(mean_loss)(parameters, tokens, heads)
            updates, state = optimizer.update(gradients, state, parameters)
            parameters = optax.apply_updates(parameters, updates)
            return parameters, optax.incremental_update(parameters, average, 1 - DECAY), state, loss

        self.jitted = step

    def step(self) -> Array:
        """One optimizer step on the next batch."""
        if self.cursor + self.batch > len(self.tokens):
            self.cursor = 0
        tokens = self.tokens[self.cursor : self.cursor + self.batch]
        self.cursor += self.batch
        self.parameters, self.average, self.state, loss = self.jitted(self.parameters, self.average, self.state, tokens)
        return loss

    def steps_per_s(self, steps: int) -> float:
        """Rate over `steps` steps."""
        start = time.perf_counter()
        for _ in range(steps):
            self.step()
        jax.block_until_ready((self.parameters, self.average))
        return steps / (time.perf_counter() - start)
