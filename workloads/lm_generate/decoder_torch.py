"""The decoder's two graphs in PyTorch: `read` whole prompts into the cache, `say` the token after one more a row.

Products are in the compute dtype, the residual stream in fp32, as autocast has them in training. The rows of the
query and key matrices are reordered once, so that the two elements that are turned together stand side by side.

Shape suffixes: B prompts, R rows of the cache in use, N rows of any kind, T positions, V vocabulary, W model width,
L layers, H query heads, K key-value heads, G = H / K query heads of one of these, D head width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from oildrop.workloads.engine import Weights
from oildrop.workloads.lm_generate.blocks_torch import made
from oildrop.workloads.lm_generate.products_torch import Product, product_of
from oildrop.workloads.lm_pretrain.reference import ModelShape, rotary_angles

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""From layer, queries, keys and values, [N, heads, D] each, to what is mixed, [N, H * D]."""


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """One layer's scales and products."""

    attention_norm_W: Tensor
    query_key_value: Product
    attention_out: Product
    feed_norm_W: Tensor
    gate_up: Product
    down: Product


class Decoder:
    """Weights as they are served, zero until they are loaded, and the graphs over them.

    Args:
        blocks: Keep the matrices a second time as compiled graphs of one row on a processor read them.
    """

    def __init__(
        self, shape: ModelShape, scheme: str, dtype: torch.dtype, device: torch.device, *, blocks: bool
    ) -> None:
        self._shape, self._dtype = shape, dtype
        self._vectors = {
            name: torch.zeros(size, device=device)
            for name, size in shape.tensors().items()
            if len(size) == 1 or name == "embedding_VW"
        }
        self._products = {
            name: product_of(name, size, scheme, dtype, device, blocks=blocks)
            for name, size in shape.tensors().items()
            if name not in self._vectors
        }
        self._layers = [
            _Layer(
                attention_norm_W=self._vectors[f"layers.{i}.attention_norm_W"],
                query_key_value=self._products[f"layers.{i}.query_key_value_OI"],
                attention_out=self._products[f"layers.{i}.attention_out_OI"],
                feed_norm_W=self._vectors[f"layers.{i}.feed_norm_W"],
                gate_up=self._products[f"layers.{i}.gate_up_OI"],
                down=self._products[f"layers.{i}.down_OI"],
            )
            for i in range(shape.layers)
        ]
        self._embedding_VW, self._norm_W = self._vectors["embedding_VW"], self._vectors["norm_W"]
        self._head = self._products["head_VW"]
        angle_TD = torch.from_numpy(rotary_angles(shape))
        cos_TD2 = torch.stack((angle_TD.cos(), angle_TD.cos()), dim=-1)
        sin_TD2 = torch.stack((-angle_TD.sin(), angle_TD.sin()), dim=-1)
        self._number_L1 = torch.arange(shape.layers, device=device)[:, None]
        self._turn_2T1D2 = torch.stack((cos_TD2, sin_TD2)).float()[:, :, None].to(device)

    def load(self, weights: Weights) -> None:
        """Cast and quantise `weights` once, into the tensors that are there."""
        for name, vector in self._vectors.items():
            vector.copy_(torch.tensor(weights[name]))
        side_by_side_O = _pairs_side_by_side(self._shape)
        for name, product in self._products.items():
            weight_OI = weights[name]
            product.load(weight_OI[side_by_side_O] if name.endswith("query_key_value_OI") else weight_OI)

    def read(self, tokens_BT: Tensor, rows_B: Tensor, cache_L2RKTD: Tensor, start: int = 0) -> Tensor:
        """The residual stream [B, T, W] after all layers; keys and values go to rows `rows_B` of the cache.

        Args:
            start: Position of the first token; those before it are in the cache.
        """
        B, T = tokens_BT.shape
        end = start + T
        H, K, D = self._shape.heads, self._shape.key_value_heads, self._shape.head_width
        # Queries and keys of unlike number: "causal" would line up their beginnings, not their ends.
        seen_TT = None
        if start:
            seen_TT = torch.ones(T, end, dtype=torch.bool, device=tokens_BT.device).tril(start)

        def attend(layer: int, q_NHD: Tensor, k_NKD: Tensor, v_NKD: Tensor) -> Tensor:
            q_BHTD, k_BKTD, v_BKTD = (x.view(B, T, -1, D).transpose(1, 2) for x in (q_NHD, k_NKD, v_NKD))
            cache_L2RKTD[layer, 0, rows_B, :, start:end] = k_BKTD
            cache_L2RKTD[layer, 1, rows_B, :, start:end] = v_BKTD
            if start:
                k_BKTD, v_BKTD = (cache_RKTD[rows_B, :, :end] for cache_RKTD in cache_L2RKTD[layer])
            mixed_BHTD = F.scaled_dot_product_attention(
                q_BHTD, k_BKTD, v_BKTD, attn_mask=seen_TT, is_causal=seen_TT is None, enable_gqa=H != K
            )
            return mixed_BHTD.transpose(1, 2).reshape(B * T, H * D)

        turn_2N1D2 = self._turn_2T1D2[:, start:end].repeat(1, B, 1, 1, 1)
        return self._through(tokens_BT.flatten(), turn_2N1D2, attend).view(B, T, -1)

    def say(
        self, tokens_R: Tensor, positions_R: Tensor, asked_R: Tensor | None, cache_L2RKTD: Tensor, length: int
    ) -> Tensor:
        """Logits [R, V] after one more token in each row, of a cache that is cut to these rows.

        Args:
            asked_R: bool, rows whose cache is written; None for all.
            length: Positions that are looked at; what lies behind a row's own position is masked. One row alone
                stands at the last of them, unless they are all there are.
        """
        R = len(tokens_R)
        H, K, D = self._shape.heads, self._shape.key_value_heads, self._shape.head_width
        rows_R = torch.arange(R, device=tokens_R.device)
        seen_R11T = None
        if R > 1 or length == self._shape.positions:
            places_T = torch.arange(length, device=tokens_R.device)
            seen_R11T = (places_T <= positions_R[:, None])[:, None, None]

        def attend(layer: int, q_RHD: Tensor, k_RKD: Tensor, v_RKD: Tensor) -> Tensor:
            for cache_RKTD, new_RKD in zip(cache_L2RKTD[layer], (k_RKD, v_RKD), strict=True):
                if seen_R11T is None:  # One row at its own end: a plain copy, at a fifth of the time.
                    cache_RKTD[:, :, length - 1] = new_RKD
                    continue
                if asked_R is not None:
                    new_RKD = torch.where(asked_R[:, None, None], new_RKD, cache_RKTD[rows_R, :, positions_R])
                cache_RKTD[rows_R, :, positions_R] = new_RKD
            k_RKTD, v_RKTD = cache_L2RKTD[layer, :, :, :, :length]
            q_RKGD = q_RHD.reshape(R, K, H // K, D)
            return F.scaled_dot_product_attention(q_RKGD, k_RKTD, v_RKTD, attn_mask=seen_R11T).reshape(R, H * D)

        return self.score(self._through(tokens_R, self._turn_2T1D2[:, positions_R], attend))

    def say_alone(self, token_1: Tensor, position_1: Tensor, cache_L2KTD: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits [1, V] after one more token in one row, and of each layer its keys and values [2, K, D].

        It writes nothing, and is made of sums of products, which a compiler fuses.

        Args:
            cache_L2KTD: Of this row, cut to some positions of which those from `position_1` on are masked.
        """
        unseen_T = torch.arange(cache_L2KTD.shape[3], device=token_1.device) >= position_1
        turn_21D2 = self._turn_2T1D2[:, position_1]
        x_1W, new_2KD = F.embedding(token_1, self._embedding_VW), []
        for i, layer in enumerate(self._layers):
            x_1W, new = self._layer_alone(layer, self._number_L1[i], x_1W, turn_21D2, cache_L2KTD, unseen_T)
            new_2KD.append(new)
        return self.score(x_1W), new_2KD

    @torch.compiler.nested_compile_region
    def _layer_alone(
        self, layer: _Layer, number_1: Tensor, x_1W: Tensor, turn_21D2: Tensor, cache_L2KTD: Tensor, unseen_T: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The residual stream after one layer, and the keys and values [2, K, D] of the new token in it.

        It is compiled once for all layers: its number is a tensor, so that nothing but values tells them apart.
        """
        H, K, D = self._shape.heads, self._shape.key_value_heads, self._shape.head_width
        kept = []

        def attend(q_1HD: Tensor, k_1KD: Tensor, v_1KD: Tensor) -> Tensor:
            kept.append(torch.cat((k_1KD, v_1KD)))
            q_KG1D = q_1HD.view(K, H // K, 1, D).float() * D**-0.5
            past_k_K1TD, past_v_K1TD = cache_L2KTD[number_1][0, :, :, None].float()
            k_K11D, v_K11D = kept[-1][:, :, None, None].float()
            past_KGT = (q_KG1D * past_k_K1TD).sum(-1).masked_fill(unseen_T, -torch.inf)
            own_KG1 = (q_KG1D * k_K11D).sum(-1)
            largest_KG1 = torch.maximum(past_KGT.amax(-1, keepdim=True), own_KG1)
            past_KGT, own_KG1 = (past_KGT - largest_KG1).exp(), (own_KG1 - largest_KG1).exp()
            mixed_KGD = (past_KGT[..., None] * past_v_K1TD).sum(2) + own_KG1 * v_K11D[:, :, 0]
            return (mixed_KGD / (past_KGT.sum(-1, keepdim=True) + own_KG1)).view(1, H * D).to(self._dtype)

        return self._through_layer(layer, x_1W, turn_21D2, attend), kept[0]

    def extend(
        self, tokens_BT: Tensor, positions_BT: Tensor, rows_B: Tensor, cache_L2RKTD: Tensor, length: int
    ) -> Tensor:
        """The residual stream [B * T, W] after several more tokens in each of `rows_B`.

        Args:
            positions_BT: Of each token; a token may stand twice, at one position.
            length: Positions that are looked at; what lies behind a token's own position is masked.
        """
        B, T = tokens_BT.shape
        H, K, D = self._shape.heads, self._shape.key_value_heads, self._shape.head_width
        seen_B1TT = (torch.arange(length, device=tokens_BT.device) <= positions_BT[..., None])[:, None]

        def attend(layer: int, q_NHD: Tensor, k_NKD: Tensor, v_NKD: Tensor) -> Tensor:
            cache_2RKTD = cache_L2RKTD[layer]
            for cache_RKTD, new_NKD in zip(cache_2RKTD, (k_NKD, v_NKD), strict=True):
                cache_RKTD[rows_B[:, None], :, positions_BT] = new_NKD.view(B, T, K, D)
            k_BKTD, v_BKTD = cache_2RKTD[:, rows_B, :, :length]
            q_BHTD = q_NHD.reshape(B, T, H, D).transpose(1, 2)
            mixed_BHTD = F.scaled_dot_product_attention(q_BHTD, k_BKTD, v_BKTD, attn_mask=seen_B1TT, enable_gqa=H != K)
            return mixed_BHTD.transpose(1, 2).reshape(B * T, H * D)

        return self._through(tokens_BT.flatten(), self._turn_2T1D2[:, positions_BT.flatten()], attend)

    def score(self, x_NW: Tensor) -> Tensor:
        """Logits [N, V] of the residual stream after the last layer."""
        return self._head(self._normed(x_NW, self._norm_W))

    def _through(self, tokens_N: Tensor, turn_2N1D2: Tensor, attend: Attend) -> Tensor:
        """The residual stream [N, W] after all layers."""
        x_NW = F.embedding(tokens_N, self._embedding_VW)
        for i, layer in enumerate(self._layers):
            x_NW = self._through_layer(layer, x_NW, turn_2N1D2, partial(attend, i))
        return x_NW

    def _through_layer(
        self, layer: _Layer, x_NW: Tensor, turn_2N1D2: Tensor, attend: Callable[[Tensor, Tensor, Tensor], Tensor]
    ) -> Tensor:
        """The residual stream [N, W] after one layer."""
        H, K, D = self._shape.heads, self._shape.key_value_heads, self._shape.head_width
        qkv = layer.query_key_value(self._normed(x_NW, layer.attention_norm_W)).view(-1, H + 2 * K, D)
        qk, v_NKD = qkv.split((H + K, K), dim=1)
        q_NHD, k_NKD = _rotate(qk, turn_2N1D2).split((H, K), dim=1)
        x_NW = made(x_NW + layer.attention_out(attend(q_NHD, k_NKD, v_NKD)))
        gate_NF, up_NF = layer.gate_up(self._normed(x_NW, layer.feed_norm_W)).chunk(2, dim=-1)
        return made(x_NW + layer.down(F.silu(gate_NF) * up_NF))

    def _normed(self, x_NW: Tensor, scale_W: Tensor) -> Tensor:
        """RMSNorm in fp32, then the compute dtype."""
        return F.rms_norm(x_NW, scale_W.shape, scale_W, self._shape.norm_epsilon).to(self._dtype)


def _rotate(x_NHD: Tensor, turn_2N1D2: Tensor) -> Tensor:
    """Turn the pair (2 i, 2 i + 1) of each head by an angle: by its cosine, and by minus and plus its sine."""
    pairs_NHD2 = x_NHD.float().unflatten(-1, (-1, 2))
    turned_NHD2 = torch.addcmul(pairs_NHD2 * turn_2N1D2[0], pairs_NHD2.flip(-1), turn_2N1D2[1])
    return turned_NHD2.flatten(-2).to(x_NHD.dtype)


def _pairs_side_by_side(shape: ModelShape) -> NDArray[np.int64]:
    """Order of the query-key-value rows in which elements i and i + D/2 of each query and key follow each other."""
    D, turned = shape.head_width, shape.heads + shape.key_value_heads
    within_D = np.arange(D).reshape(2, -1).T.ravel()
    rows = np.arange((turned + shape.key_value_heads) * D).reshape(-1, D)
    rows[:turned] = rows[:turned, within_D]
    return rows.ravel()
