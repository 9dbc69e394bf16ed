"""The decoder-only transformer in PyTorch: RMSNorm, rotary positions, SwiGLU, no biases.

Shape suffixes: B documents, T positions, S = T + 1 tokens of a document with its start token, V vocabulary,
W model width, F feed-forward width, H query heads, K key-value heads, D head width (W = H * D).
A weight `_OI` maps I inputs to O outputs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oildrop.workloads.lm_pretrain.reference import ModelShape, rotary_angles, shape_of
from oildrop.workloads.protocols import Settings


def make_model(settings: Settings) -> Decoder:
    """The decoder that `settings` describe, its weights unset."""
    return Decoder(shape_of(settings))


class Decoder(nn.Module):
    """Tokens in, the loss of predicting each next token out."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding_VW = _parameter(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm_W = _parameter(shape.width)
        self.head_VW = _parameter(shape.vocabulary, shape.width)
        angle_TD = torch.from_numpy(rotary_angles(shape))
        self.register_buffer("cos_TD", angle_TD.cos().float(), persistent=False)
        self.register_buffer("sin_TD", angle_TD.sin().float(), persistent=False)

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor by canonical name, in canonical order."""
        return self.shape.tensors()

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Scores of the next token after each, [B, T, V], of tokens [B, T]."""
        x_BTW = F.embedding(tokens_BT, self.embedding_VW)
        for layer in self.layers:
            x_BTW = layer(x_BTW, self.cos_TD, self.sin_TD)
        return F.linear(rms_norm(x_BTW, self.norm_W, self.shape.norm_epsilon), self.head_VW)

    def losses(self, tokens_BS: Tensor) -> Tensor:
        """-ln q of each next token in nats, fp32 [B, T], of whole documents int32 [B, S]; S = T + 1."""
        return token_losses(self(tokens_BS[:, :-1]), tokens_BS[:, 1:])

    def score(self, tokens_BS: Tensor) -> tuple[Tensor, Tensor]:
        """The losses, and whether the most probable token was the right one, bool [B, T]."""
        logits_BTV, target_BT = self(tokens_BS[:, :-1]), tokens_BS[:, 1:]
        return token_losses(logits_BTV, target_BT), logits_BTV.argmax(dim=-1) == target_BT


class Layer(nn.Module):
    """Attention, then the gated feed-forward network, each on a normalised copy and added back."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape
        self.attention_norm_W = _parameter(shape.width)
        self.query_key_value_OI = _parameter(*shape.tensors()["layers.0.query_key_value_OI"])
        self.attention_out_OI = _parameter(shape.width, shape.width)
        self.feed_norm_W = _parameter(shape.width)
        self.gate_up_OI = _parameter(2 * shape.hidden, shape.width)
        self.down_OI = _parameter(shape.width, shape.hidden)

    def forward(self, x_BTW: Tensor, cos_TD: Tensor, sin_TD: Tensor) -> Tensor:
        """One layer, [B, T, W] to [B, T, W]."""
        epsilon = self.shape.norm_epsilon
        x_BTW = x_BTW + self.attention(rms_norm(x_BTW, self.attention_norm_W, epsilon), cos_TD, sin_TD)
        return x_BTW + self.feed_forward(rms_norm(x_BTW, self.feed_norm_W, epsilon))

    def attention(self, x_BTW: Tensor, cos_TD: Tensor, sin_TD: Tensor) -> Tensor:
        """Causal attention over all heads, [B, T, W] to [B, T, W]."""
        B, T, _ = x_BTW.shape
        H, K = self.shape.heads, self.shape.key_value_heads
        qkv = F.linear(x_BTW, self.query_key_value_OI).view(B, T, H + 2 * K, -1).transpose(1, 2)
        qk, v_BKTD = qkv.split((H + K, K), dim=1)
        q_BHTD, k_BKTD = rotate(qk, cos_TD, sin_TD).split((H, K), dim=1)
        mixed_BHTD = F.scaled_dot_product_attention(q_BHTD, k_BKTD, v_BKTD, is_causal=True, enable_gqa=H != K)
        return F.linear(mixed_BHTD.transpose(1, 2).reshape(B, T, -1), self.attention_out_OI)

    def feed_forward(self, x_BTW: Tensor) -> Tensor:
        """SwiGLU: down(silu(gate) * up)."""
        gate_BTF, up_BTF = F.linear(x_BTW, self.gate_up_OI).chunk(2, dim=-1)
        return F.linear(F.silu(gate_BTF) * up_BTF, self.down_OI)


def token_losses(logits_BTV: Tensor, target_BT: Tensor) -> Tensor:
    """Cross-entropy of each position in nats, [B, T], in fp32 at least: a sum of exponentials needs the digits."""
    logits_BTV = logits_BTV.to(torch.promote_types(logits_BTV.dtype, torch.float32))
    flat = F.cross_entropy(logits_BTV.flatten(0, 1), target_BT.flatten().long(), reduction="none")
    return flat.view_as(target_BT)


def rms_norm(x: Tensor, scale_W: Tensor, epsilon: float) -> Tensor:
    """x over its root mean square, times `scale_W`."""
    return F.rms_norm(x, scale_W.shape, scale_W, epsilon)


def rotate(x_BHTD: Tensor, cos_TD: Tensor, sin_TD: Tensor) -> Tensor:
    """Turn the pair (i, i + D/2) of each head by the position's angle i."""
    left, right = x_BHTD.chunk(2, dim=-1)
    return torch.cat((left * cos_TD - right * sin_TD, left * sin_TD + right * cos_TD), dim=-1).type_as(x_BHTD)


def _parameter(*shape: int) -> nn.Parameter:
    """An unset parameter: the task fills every one from integers."""
    return nn.Parameter(torch.empty(shape))
