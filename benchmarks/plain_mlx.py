"""The model of `lm-pretrain` in MLX as somebody would write it without Oildrop: a yardstick of our own training loop.

Nothing of the project is imported here. Tokens are random, made beforehand and sliced; weights are MLX's own. A
running average of the weights belongs to the task, so this loop keeps one too.
"""

from __future__ import annotations

import time
from functools import partial

import mlx.core as mx
from mlx import nn, optimizers
from mlx.utils import tree_map

DECAY = 0.95


class Block(nn.Module):
    """Attention and SwiGLU with pre-norm residuals; linears without biases."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.RMSNorm(width, eps=1e-5)
        self.rope = nn.RoPE(width // heads)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.norm2 = nn.RMSNorm(width, eps=1e-5)
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def __call__(self, x: mx.array) -> mx.array:
        batch, length, width = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(batch, length, 3, self.heads, -1).transpose(2, 0, 3, 1, 4)
        q, k, v = self.rope(qkv[0]), self.rope(qkv[1]), qkv[2]
        mixed = mx.fast.scaled_dot_product_attention(q, k, v, scale=q.shape[-1] ** -0.5, mask="causal")
        x = x + self.out(mixed.transpose(0, 2, 1, 3).reshape(batch, length, width))
        gate, up = mx.split(self.gate_up(self.norm2(x)), 2, axis=-1)
        return x + self.down(nn.silu(gate) * up)


class PlainDecoder(nn.Module):
    """Embedding, blocks, norm, untied head."""

    def __init__(self, *, vocabulary: int, width: int, heads: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.blocks = [Block(width, heads, hidden) for _ in range(layers)]
        self.norm = nn.RMSNorm(width, eps=1e-5)
        self.head = nn.Linear(width, vocabulary, bias=False)

    def __call__(self, tokens: mx.array) -> mx.array:
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def mean_loss(model: PlainDecoder, tokens: mx.array) -> mx.array:
    """Mean cross-entropy of the next tokens."""
    return nn.losses.cross_entropy(model(tokens[:, :-1]), tokens[:, 1:], reduction="mean")


class PlainLoop:
    """A plain training loop over tokens made beforehand: one compiled step of gradient, AdamW and running average."""

    def __init__(self, *, batch: int, length: int, vocabulary: int, **shape: int) -> None:
        model = PlainDecoder(vocabulary=vocabulary, **shape)
        optimizer = optimizers.AdamW(learning_rate=1e-3, betas=[0.9, 0.98], bias_correction=True)
        optimizer.init(model.trainable_parameters())
        self.average = {"of": tree_map(mx.array, model.trainable_parameters())}
        self.state = [model.state, optimizer.state, self.average]
        self.tokens = mx.random.randint(0, vocabulary, (64 * batch, length + 1))
        self.batch = batch
        self.cursor = 0
        mx.eval(self.state, self.tokens)
        loss_and_gradients = nn.value_and_grad(model, mean_loss)

        @partial(mx.compile, inputs=self.state, outputs=self.state)
        def step(tokens: mx.array) -> mx.array:
            loss, gradients = loss_and_gradients(model, tokens)
            optimizer.update(model, gradients)
            weights = model.trainable_parameters()
            self.average["of"] = tree_map(lambda mean, w: mean + (1 - DECAY) * (w - mean), self.average["of"], weights)
            return loss

        self.compiled = step

    def step(self) -> mx.array:
        """One optimizer step on the next batch."""
        if self.cursor + self.batch > len(self.tokens):
            self.cursor = 0
        loss = self.compiled(self.tokens[self.cursor : self.cursor + self.batch])
        self.cursor += self.batch
        mx.eval(loss, self.state)
        return loss

    def steps_per_s(self, steps: int) -> float:
        """Rate over `steps` steps."""
        start = time.perf_counter()
        for _ in range(steps):
            self.step()
        return steps / (time.perf_counter() - start)
