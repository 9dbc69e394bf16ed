"""The encoder in PyTorch.

Shape suffixes: B sentences, T tokens, W width, H heads, D width of a head, F hidden width.
"""

from __future__ import annotations

from functools import partial

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
        table = partial(skip_init, nn.Embedding, embedding_dim=shape.width)
        self.embeddings = nn.ModuleDict(
            {
                "word_embeddings": table(num_embeddings=shape.vocabulary),
                "position_embeddings": table(num_embeddings=shape.positions),
                "token_type_embeddings": table(num_embeddings=TYPES),
                "LayerNorm": _norm(shape),
            }
        )
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(Layer(shape) for _ in range(shape.layers))})

    def forward(self, tokens_BT: Tensor, length_B: Tensor) -> Tensor:
        """fp32 [B, W] of length 1: the mean over each sentence's own tokens."""
        seen_BT = torch.arange(tokens_BT.shape[1], device=tokens_BT.device) < length_B[:, None]
        x_BTW = self.embed(tokens_BT)
        for layer in self.encoder["layer"]:
            x_BTW = layer(x_BTW, seen_BT)
        return F.normalize(mean_over(x_BTW.float(), seen_BT), dim=1)

    def embed(self, tokens_BT: Tensor) -> Tensor:
        """Words, places and the type of a first sentence, normalised."""
        tables = self.embeddings
        places_TW = tables["position_embeddings"].weight[: tokens_BT.shape[1]]
        summed_BTW = tables["word_embeddings"](tokens_BT) + places_TW + tables["token_type_embeddings"].weight[0]
        normed_BTW: Tensor = tables["LayerNorm"](summed_BTW)
        return normed_BTW


class Layer(nn.Module):
    """Self-attention and feed-forward, each added to its input and normalised after."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.heads = shape.heads
        width, hidden = shape.width, shape.hidden
        self.attention = nn.ModuleDict(
            {
                "self": nn.ModuleDict({name: _dense(width, width) for name in ("query", "key", "value")}),
                "output": nn.ModuleDict({"dense": _dense(width, width), "LayerNorm": _norm(shape)}),
            }
        )
        self.intermediate = nn.ModuleDict({"dense": _dense(width, hidden)})
        self.output = nn.ModuleDict({"dense": _dense(hidden, width), "LayerNorm": _norm(shape)})

    def forward(self, x_BTW: Tensor, seen_BT: Tensor) -> Tensor:
        """One layer; `seen_BT` says which tokens belong to their sentence."""
        after = self.attention["output"]
        x_BTW = after["LayerNorm"](x_BTW + after["dense"](self.attend(x_BTW, seen_BT)))
        inner_BTF = F.gelu(self.intermediate["dense"](x_BTW))
        result_BTW: Tensor = self.output["LayerNorm"](x_BTW + self.output["dense"](inner_BTF))
        return result_BTW

    def attend(self, x_BTW: Tensor, seen_BT: Tensor) -> Tensor:
        """Every token's mix of the values of its sentence."""
        B, T, W = x_BTW.shape
        q, k, v = (
            self.attention["self"][name](x_BTW).view(B, T, self.heads, -1).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        mixed_BHTD = F.scaled_dot_product_attention(q, k, v, attn_mask=seen_BT[:, None, None, :])
        return mixed_BHTD.transpose(1, 2).reshape(B, T, W)


def mean_over(x_BTW: Tensor, seen_BT: Tensor) -> Tensor:
    """The mean [B, W] over the tokens that are seen."""
    seen_BT1 = seen_BT[..., None].to(x_BTW.dtype)
    return (x_BTW * seen_BT1).sum(dim=1) / seen_BT1.sum(dim=1)


def _dense(inputs: int, outputs: int) -> nn.Linear:
    return skip_init(nn.Linear, inputs, outputs)


def _norm(shape: EncoderShape) -> nn.LayerNorm:
    return skip_init(nn.LayerNorm, shape.width, eps=shape.norm_epsilon)
