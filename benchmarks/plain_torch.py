"""The model of `lm-pretrain` in PyTorch as somebody would write it without Oildrop: a yardstick of our own loop.

Nothing of the project is imported here. Tokens are random, made beforehand and sliced; weights are PyTorch's own. A
running average of the weights belongs to the task, so this loop keeps one too.
"""

from __future__ import annotations

import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DECAY = 0.95


class Block(nn.Module):
    """Attention and SwiGLU with pre-norm residuals; linears without biases."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.RMSNorm(width, eps=1e-5)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.norm2 = nn.RMSNorm(width, eps=1e-5)
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k = rotate(qkv[0], cos, sin), rotate(qkv[1], cos, sin)
        mixed = F.scaled_dot_product_attention(q, k, qkv[2], is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        gate, up = self.gate_up(self.norm2(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class PlainDecoder(nn.Module):
    """Embedding, blocks, norm, untied head."""

    def __init__(self, *, vocabulary: int, width: int, heads: int, hidden: int, layers: int, length: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(Block(width, heads, hidden) for _ in range(layers))
        self.norm = nn.RMSNorm(width, eps=1e-5)
        self.head = nn.Linear(width, vocabulary, bias=False)
        half = width // heads // 2
        angles = torch.outer(torch.arange(length), 10000.0 ** (-torch.arange(half) / half))
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens[:, :-1])
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        return F.cross_entropy(self.head(self.norm(x)).float().flatten(0, 1), tokens[:, 1:].flatten())


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions on the two halves of each head."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1).type_as(x)


class PlainLoop:
    """A plain training loop over tokens made beforehand: forward, backward, fused AdamW, running average."""

    def __init__(
        self, *, batch: int, length: int, vocabulary: int, bf16: bool = False, compiled: bool = False, **shape: int
    ) -> None:
        self.model = PlainDecoder(vocabulary=vocabulary, length=length, **shape)
        self.forward = torch.compile(self.model, dynamic=False) if compiled else self.model
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, betas=(0.9, 0.98), fused=True)
        self.average = [parameter.detach().clone() for parameter in self.model.parameters()]
        self.tokens = torch.randint(vocabulary, (64 * batch, length + 1))
        self.batch = batch
        self.bf16 = bf16
        self.cursor = 0

    def step(self) -> None:
        """One optimizer step on the next batch."""
        if self.cursor + self.batch > len(self.tokens):
            self.cursor = 0
        tokens = self.tokens[self.cursor : self.cursor + self.batch]
        self.cursor += self.batch
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16):
            loss = self.forward(tokens)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            torch._foreach_lerp_(self.average, list(self.model.parameters()), 1 - DECAY)

    def steps_per_s(self, steps: int) -> float:
        """Rate over `steps` steps."""
        start = time.perf_counter()
        for _ in range(steps):
            self.step()
        return steps / (time.perf_counter() - start)
