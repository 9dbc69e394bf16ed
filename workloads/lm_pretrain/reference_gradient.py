"""The gradient of the float64 NumPy model, written out by hand: one backward function for each forward one.

A backward function takes `d_y`, the gradient of the mean loss with respect to what its forward function gave, and
what that function was given; it returns the gradients with respect to the latter. Between them only the residual
stream is kept: what happens inside a layer is worked out again from what entered it.

Shape suffixes: B documents, T positions, S = T + 1 tokens of a document with its start token, V vocabulary,
W model width, F feed-forward width, K key-value heads, G query heads of one of these, D head width.
A weight `_OI` maps I inputs to O outputs.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.lm_pretrain.reference import (
    Array,
    HostWeights,
    ModelShape,
    attention_shares,
    gate_and_up,
    in_float64,
    inverse_rms,
    layer_of,
    log_softmax,
    logits,
    merge_heads,
    queries_keys_values,
    residual_stream,
    rms_norm,
    rotary_angles,
    sigmoid,
    split_heads,
    turn,
)


def mean_loss_gradient(
    weights: HostWeights, tokens_BS: NDArray[np.int32], shape: ModelShape
) -> tuple[float, dict[str, Array]]:
    """Mean loss in nats a token of whole documents, and its gradient by canonical name; all in float64."""
    w = in_float64(weights)
    tokens_BT = tokens_BS[:, :-1]
    stream = residual_stream(w, tokens_BT, shape)
    loss, d_logits_BTV = mean_cross_entropy(logits(stream[-1], w, shape), tokens_BS[:, 1:])
    d_x_BTW, found = logits_backward(d_logits_BTV, stream[-1], w, shape)
    for i in reversed(range(shape.layers)):
        d_x_BTW, of_layer = layer_backward(d_x_BTW, stream[2 * i], stream[2 * i + 1], layer_of(w, i), shape)
        found |= {f"layers.{i}.{name}": gradient for name, gradient in of_layer.items()}
    found["embedding_VW"] = embedding_backward(d_x_BTW, tokens_BT, shape)
    return loss, {name: found[name] for name in shape.tensors()}


def mean_cross_entropy(logits_BTV: Array, target_BT: NDArray[np.int32]) -> tuple[float, Array]:
    """Mean of -ln q of the targets in nats, and its gradient with respect to the logits: (q - 1[target]) / (B T)."""
    at_BT1 = target_BT[..., None].astype(np.int64)
    log_q_BTV = log_softmax(logits_BTV)
    loss = -float(np.take_along_axis(log_q_BTV, at_BT1, axis=-1).mean())
    d_BTV = np.exp(log_q_BTV)
    np.put_along_axis(d_BTV, at_BT1, np.take_along_axis(d_BTV, at_BT1, axis=-1) - 1, axis=-1)
    return loss, d_BTV / target_BT.size


def logits_backward(
    d_y_BTV: Array, x_BTW: Array, w: Mapping[str, Array], shape: ModelShape
) -> tuple[Array, dict[str, Array]]:
    """Of `reference.logits`: gradients of the residual stream and of the head's two tensors."""
    d_normal_BTW, d_head_VW = linear_backward(d_y_BTV, rms_norm(x_BTW, w["norm_W"], shape), w["head_VW"])
    d_x_BTW, d_norm_W = rms_norm_backward(d_normal_BTW, x_BTW, w["norm_W"], shape)
    return d_x_BTW, {"norm_W": d_norm_W, "head_VW": d_head_VW}


def layer_backward(
    d_y_BTW: Array, x_BTW: Array, middle_BTW: Array, layer: Mapping[str, Array], shape: ModelShape
) -> tuple[Array, dict[str, Array]]:
    """Of one layer, which `x_BTW` entered and whose attention left `middle_BTW` in the residual stream."""
    normal_BTW = rms_norm(middle_BTW, layer["feed_norm_W"], shape)
    d_normal_BTW, of_feed = feed_forward_backward(d_y_BTW, normal_BTW, layer)
    d_branch_BTW, d_feed_norm_W = rms_norm_backward(d_normal_BTW, middle_BTW, layer["feed_norm_W"], shape)
    d_middle_BTW = d_y_BTW + d_branch_BTW
    normal_BTW = rms_norm(x_BTW, layer["attention_norm_W"], shape)
    d_normal_BTW, of_attention = attention_backward(d_middle_BTW, normal_BTW, layer, shape)
    d_branch_BTW, d_attention_norm_W = rms_norm_backward(d_normal_BTW, x_BTW, layer["attention_norm_W"], shape)
    norms = {"attention_norm_W": d_attention_norm_W, "feed_norm_W": d_feed_norm_W}
    return d_middle_BTW + d_branch_BTW, norms | of_attention | of_feed


def attention_backward(
    d_y_BTW: Array, x_BTW: Array, layer: Mapping[str, Array], shape: ModelShape
) -> tuple[Array, dict[str, Array]]:
    """Of `reference.attention`: gradients of its input and of its two matrices."""
    q_BKGTD, k_BK1TD, v_BK1TD = queries_keys_values(x_BTW, layer, shape)
    shares_BKGTT = attention_shares(q_BKGTD, k_BK1TD)
    d_merged_BTW, d_out_OI = linear_backward(d_y_BTW, merge_heads(shares_BKGTT @ v_BK1TD), layer["attention_out_OI"])
    d_mixed_BKGTD = split_heads(d_merged_BTW, shape.heads).reshape(q_BKGTD.shape)
    d_v_BK1TD = (shares_BKGTT.swapaxes(-1, -2) @ d_mixed_BKGTD).sum(axis=2, keepdims=True)
    d_scores_BKGTT = softmax_backward(d_mixed_BKGTD @ v_BK1TD.swapaxes(-1, -2), shares_BKGTT)
    d_scores_BKGTT /= np.sqrt(shape.head_width)
    d_q_BKGTD = d_scores_BKGTT @ k_BK1TD
    d_k_BK1TD = (d_scores_BKGTT.swapaxes(-1, -2) @ q_BKGTD).sum(axis=2, keepdims=True)
    d_q_BTW, d_k, d_v = (merge_heads(d) for d in (unrotated(d_q_BKGTD, shape), unrotated(d_k_BK1TD, shape), d_v_BK1TD))
    d_x_BTW, d_qkv_OI = linear_backward(
        np.concatenate((d_q_BTW, d_k, d_v), axis=-1), x_BTW, layer["query_key_value_OI"]
    )
    return d_x_BTW, {"query_key_value_OI": d_qkv_OI, "attention_out_OI": d_out_OI}


def softmax_backward(d_y: Array, y: Array) -> Array:
    """Of y = softmax(x) over the last axis: the gradient of x."""
    return y * (d_y - np.sum(d_y * y, axis=-1, keepdims=True))


def unrotated(d_y_BKGTD: Array, shape: ModelShape) -> Array:
    """Of `reference.rotate`: a rotation's transpose turns back."""
    return turn(d_y_BKGTD, -rotary_angles(shape)[: d_y_BKGTD.shape[-2]])


def feed_forward_backward(d_y_BTW: Array, x_BTW: Array, layer: Mapping[str, Array]) -> tuple[Array, dict[str, Array]]:
    """Of `reference.feed_forward`: gradients of its input and of its two matrices.

    silu(g) = g s with s = sigmoid(g), so that silu'(g) = s (1 + g (1 - s)).
    """
    gate_BTF, up_BTF = gate_and_up(x_BTW, layer)
    s_BTF = sigmoid(gate_BTF)
    silu_BTF = gate_BTF * s_BTF
    d_product_BTF, d_down_OI = linear_backward(d_y_BTW, silu_BTF * up_BTF, layer["down_OI"])
    d_gate_BTF = d_product_BTF * up_BTF * (s_BTF + silu_BTF * (1 - s_BTF))
    d_both = np.concatenate((d_gate_BTF, d_product_BTF * silu_BTF), axis=-1)
    d_x_BTW, d_gate_up_OI = linear_backward(d_both, x_BTW, layer["gate_up_OI"])
    return d_x_BTW, {"gate_up_OI": d_gate_up_OI, "down_OI": d_down_OI}


def linear_backward(d_y: Array, x: Array, w_OI: Array) -> tuple[Array, Array]:
    """Of y = x w^T, [B, T, I] to [B, T, O]: gradients of x and of w."""
    return d_y @ w_OI, d_y.reshape(-1, len(w_OI)).T @ x.reshape(-1, w_OI.shape[1])


def rms_norm_backward(d_y_BTW: Array, x_BTW: Array, scale_W: Array, shape: ModelShape) -> tuple[Array, Array]:
    """Of `reference.rms_norm`: gradients of x and of the scale.

    With n = x r and r = 1 / sqrt(mean(x^2) + epsilon): d_x = r (d_n - n mean(n d_n)).
    """
    r_BT1 = inverse_rms(x_BTW, shape)
    n_BTW, d_n_BTW = x_BTW * r_BT1, d_y_BTW * scale_W
    d_x_BTW = r_BT1 * (d_n_BTW - n_BTW * np.mean(n_BTW * d_n_BTW, axis=-1, keepdims=True))
    return d_x_BTW, np.sum(d_y_BTW * n_BTW, axis=(0, 1))


def embedding_backward(d_x_BTW: Array, tokens_BT: NDArray[np.int32], shape: ModelShape) -> Array:
    """Of the look-up: row v is the sum over all places where token v stands; 0 where it stands nowhere."""
    order = np.argsort(tokens_BT, axis=None, kind="stable")
    tokens, firsts = np.unique(tokens_BT.ravel()[order], return_index=True)
    d_VW = np.zeros((shape.vocabulary, shape.width))
    d_VW[tokens] = np.add.reduceat(d_x_BTW.reshape(-1, shape.width)[order], firsts, axis=0)
    return d_VW
