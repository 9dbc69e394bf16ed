"""The encoder in PyTorch.

Shape suffixes: B sentences, T tokens, W width, H heads, D width of a head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import skip_init

from oildrop.workloads.embed.reference import TYPES, EncoderShape, shape_of
from oildrop.workloads.forward_torch import TorchForward
from oildrop.workloads.protocols import Device, Settings


def make_forward(settings: Settings, device: Device) -> TorchForward:
    """Tokens [B, T] and lengths [B] in, embeddings [B, W] out."""
    shape = shape_of(settings)
    return TorchForward(Encoder(shape), shape.products(), settings, device)


class Encoder(nn.Module):
    """Sentences in, their embeddings out; modules bear the names of the canonical tensors, whose values are unset."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.embeddings = Embeddings(shape)
        self.encoder = Stack(shape)

    def forward(self, tokens_BT: Tensor, length_B: Tensor) -> Tensor:
        """fp32 [B, W] of length 1: the mean over each sentence's own tokens."""
        seen_BT = torch.arange(tokens_BT.shape[1], device=tokens_BT.device) < length_B[:, None]
        x_BTW = self.encoder(self.embeddings(tokens_BT), seen_BT)
        return F.normalize(mean_over(x_BTW.float(), seen_BT), dim=1)


class Embeddings(nn.Module):
    """Words, places and the type of a first sentence, normalised."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.word_embeddings = skip_init(nn.Embedding, shape.vocabulary, shape.width)
        self.position_embeddings = skip_init(nn.Embedding, shape.positions, shape.width)
        self.token_type_embeddings = skip_init(nn.Embedding, TYPES, shape.width)
        self.LayerNorm = _norm(shape)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """[B, T, W]."""
        places_TW = self.position_embeddings.weight[: tokens_BT.shape[1]]
        normed_BTW: Tensor = self.LayerNorm(
            self.word_embeddings(tokens_BT) + places_TW + self.token_type_embeddings.weight[0]
        )
        return normed_BTW


class Stack(nn.Module):
    """One layer after the other."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(shape) for _ in range(shape.layers))

    def forward(self, x_BTW: Tensor, seen_BT: Tensor) -> Tensor:
        """`seen_BT` says which tokens belong to their sentence."""
        for layer in self.layer:
            x_BTW = layer(x_BTW, seen_BT)
        return x_BTW


class Layer(nn.Module):
    """Self-attention and feed-forward, each added to its input and normalised after."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.attention = Attention(shape)
        self.intermediate = nn.ModuleDict({"dense": _dense(shape.width, shape.hidden)})
        self.output = Added(shape, shape.hidden)

    def forward(self, x_BTW: Tensor, seen_BT: Tensor) -> Tensor:
        """[B, T, W]."""
        x_BTW = self.attention(x_BTW, seen_BT)
        result_BTW: Tensor = self.output(x_BTW, F.gelu(self.intermediate["dense"](x_BTW)))
        return result_BTW


class Attention(nn.Module):
    """Every token's mix of the values of its sentence, and what comes after."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.self = nn.ModuleDict({name: _dense(shape.width, shape.width) for name in ("query", "key", "value")})
        self.output = Added(shape, shape.width)

    def forward(self, x_BTW: Tensor, seen_BT: Tensor) -> Tensor:
        """[B, T, W]."""
        B, T, W = x_BTW.shape
        q, k, v = (
            self.self[name](x_BTW).view(B, T, self.heads, -1).transpose(1, 2) for name in ("query", "key", "value")
        )
        mixed_BHTD = F.scaled_dot_product_attention(q, k, v, attn_mask=seen_BT[:, None, None, :])
        result_BTW: Tensor = self.output(x_BTW, mixed_BHTD.transpose(1, 2).reshape(B, T, W))
        return result_BTW


class Added(nn.Module):
    """A product of what comes in, added to the residual stream and normalised."""

    def __init__(self, shape: EncoderShape, inputs: int) -> None:
        super().__init__()
        self.dense = _dense(inputs, shape.width)
        self.LayerNorm = _norm(shape)

    def forward(self, x_BTW: Tensor, inner: Tensor) -> Tensor:
        """[B, T, W]."""
        normed_BTW: Tensor = self.LayerNorm(x_BTW + self.dense(inner))
        return normed_BTW


def mean_over(x_BTW: Tensor, seen_BT: Tensor) -> Tensor:
    """The mean [B, W] over the tokens that are seen."""
    seen_BT1 = seen_BT[..., None].to(x_BTW.dtype)
    return (x_BTW * seen_BT1).sum(dim=1) / seen_BT1.sum(dim=1)


def _dense(inputs: int, outputs: int) -> nn.Linear:
    return skip_init(nn.Linear, inputs, outputs)


def _norm(shape: EncoderShape) -> nn.LayerNorm:
    return skip_init(nn.LayerNorm, shape.width, eps=shape.norm_epsilon)
