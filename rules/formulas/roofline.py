"""The least time that work can take on a part: its FLOPs over the peak, its bytes over the bandwidth; pure."""

from __future__ import annotations

from dataclasses import dataclass

from oildrop.rules.formulas.memory import FP32, PRODUCT_BYTES, DecoderSize, TrainMemory

MFU_RANGE = (1.0, 0.4)
"""Shares of the peak between which a plan brackets: the bound itself, and what well-tuned training reaches.

Source: Chowdhery et al., arXiv 2204.02311, table 3 (46 %), and Llama Team, arXiv 2407.21783, table 4 (38 to 43 %).
"""

ADAMW_BYTES_PER_PARAMETER = 40
"""fp32 traffic of one step: read weight, gradient, two moments (16), write weight and moments (12); the running average
reads itself and the weight and is written (12)."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one device does: FLOPs, and bytes between its memory and its arithmetic."""

    flop: float
    moved_bytes: float

    def seconds(self, *, peak_flop_per_s: float, bandwidth_bytes_per_s: float | None, mfu: float = 1.0) -> float:
        """Least time at the share `mfu` of the peak: the longer of arithmetic and traffic, each fully overlapped.

        Without a known bandwidth the traffic counts as free. Communication between devices is left out.

        Source: Williams, Waterman and Patterson, "Roofline", CACM 52(4), 2009.
        """
        arithmetic_s = self.flop / (peak_flop_per_s * mfu)
        traffic_s = self.moved_bytes / bandwidth_bytes_per_s if bandwidth_bytes_per_s else 0.0
        return max(arithmetic_s, traffic_s)


def decoder_step_moved_bytes(size: DecoderSize, memory: TrainMemory, *, dtype: str, shards: int = 1) -> int:
    """Least traffic of one training step on one device (`decoder_traffic/1`), bytes; see `train_step_moved_bytes`."""
    return train_step_moved_bytes(size.parameters, memory, dtype=dtype, shards=shards)


def train_step_moved_bytes(parameters: int, memory: TrainMemory, *, dtype: str, shards: int = 1) -> int:
    """Least traffic of one training step of a model on one of `shards` devices, bytes.

    Optimizer and average: 40 a parameter that the device keeps. Weights in products: read forward, and once more
    backward, 2 a; where a is not fp32 their copy is made first, 4 read and a written. Gradients: written, 4.
    Activations and logits: written once and read once. Perfect fusion and caches are supposed, so true traffic is more.
    """
    a = PRODUCT_BYTES[dtype]
    copied = 0 if a == FP32 else FP32 + a
    state = ADAMW_BYTES_PER_PARAMETER * -(-parameters // shards)
    weights = (2 * a + copied + FP32) * parameters
    return state + weights + 2 * (memory.activations + memory.logits)
