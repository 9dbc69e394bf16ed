"""Memory and least traffic of one training step on one device, by the name of a benchmark's FLOPs formula."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from oildrop.rules.formulas.flops_table import TOKENS_PER_SAMPLE, conv_size, decoder_size
from oildrop.rules.formulas.memory import TrainMemory, train_memory_bytes
from oildrop.rules.formulas.memory_conv import conv_step_moved_bytes, conv_train_memory_bytes
from oildrop.rules.formulas.roofline import decoder_step_moved_bytes
from oildrop.rules.records import Scalar


@dataclass(frozen=True, kw_only=True)
class TrainStep:
    """What one device holds at a step's fullest moment, and the least bytes that the step moves."""

    memory: TrainMemory
    moved_bytes: int


Model = Callable[[Mapping[str, Scalar], int, str, int], TrainStep]
"""From settings, samples a step of one device, dtype of products, and devices that share weights and optimizer."""


def _decoder_step(settings: Mapping[str, Scalar], samples: int, dtype: str, shards: int) -> TrainStep:
    size, tokens = decoder_size(settings), samples * TOKENS_PER_SAMPLE["decoder_train/1"](settings)
    memory = train_memory_bytes(size, tokens=tokens, dtype=dtype, shards=shards)
    return TrainStep(memory=memory, moved_bytes=decoder_step_moved_bytes(size, memory, dtype=dtype, shards=shards))


def _conv_step(settings: Mapping[str, Scalar], samples: int, dtype: str, shards: int) -> TrainStep:
    size = conv_size(settings)
    memory = conv_train_memory_bytes(size, images=samples, dtype=dtype, shards=shards)
    return TrainStep(memory=memory, moved_bytes=conv_step_moved_bytes(size, memory, dtype=dtype, shards=shards))


TRAIN_STEP: dict[str, tuple[str, Model]] = {
    "decoder_train/1": ("decoder_memory/1", _decoder_step),
    "conv_train/1": ("conv_memory/1", _conv_step),
}
"""The formula of memory, and how it and that of traffic are worked out."""
