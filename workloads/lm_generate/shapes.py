"""Sizes that follow from the settings, the same for every engine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.errors import UsageError
from oildrop.workloads.generator import Tokens
from oildrop.workloads.lm_pretrain.reference import ModelShape, shape_of
from oildrop.workloads.protocols import Settings

WIDEST_ITEM_BYTES = 4
"""Of an element of the cache: gates are in fp32 whatever the run is in."""

AHEAD_GROUPS = 2
"""Groups of prompts that are in another process or on their way, at most: one is read while one comes over."""

SHORTEST_BUCKET = 16
"""Prompts under this many tokens are read as if they had as many."""


def model_shape(settings: Settings) -> ModelShape:
    """The decoder's sizes, those of lm-pretrain.

    Raises:
        UsageError: A prompt and its answer may be longer than a document with its start token, or a range is empty.
    """
    shape = shape_of(settings)
    for what in ("prompt", "output"):
        low, high = (int(settings[f"requests.{what}_tokens_{end}"]) for end in ("min", "max"))
        if low > high:
            raise UsageError(f"requests.{what}_tokens_min = {low} is over requests.{what}_tokens_max = {high}")
    lengths = ("requests.depth_tokens", "requests.prompt_tokens_max", "requests.output_tokens_max")
    longest = sum(int(settings[key]) for key in lengths)
    if longest > shape.positions + 1:
        raise UsageError(
            f"{' + '.join(lengths)} = {longest}: a document with its start token has {shape.positions + 1}; "
            "ask for fewer"
        )
    return shape


def require_possible(settings: Settings) -> None:
    """Raises UsageError where settings do not fit together, or the language is not the generated one."""
    model_shape(settings)
    if settings["data.manifest"]:
        raise UsageError(
            f"data.manifest = {settings['data.manifest']}: lm-generate asks in the generated language alone; "
            "leave it empty"
        )


def positions_of(settings: Settings) -> int:
    """Positions of one row of the cache: those of a document."""
    return model_shape(settings).positions


def prompt_buckets(positions: int) -> tuple[int, ...]:
    """Lengths to which prompts are padded: powers of two, and `positions` itself."""
    buckets = []
    length = SHORTEST_BUCKET
    while length < positions:
        buckets.append(length)
        length *= 2
    return (*buckets, positions)


def bucket_of(length: int, buckets: tuple[int, ...]) -> int:
    """The shortest bucket that holds `length`.

    Raises:
        UsageError: None does.
    """
    for bucket in buckets:
        if length <= bucket:
            return bucket
    raise UsageError(f"{length} tokens: the cache has {buckets[-1]} positions; ask for fewer")


def side_by_side(
    tokens: Sequence[Tokens], positions_B: Tokens, width: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Tokens of unlike number in rows of one length T, their positions, and which of them are a row's own, each [B, T].

    A short row repeats its last token at its own position, so that whatever is written there is the same.

    Args:
        width: T at least.
    """
    count_B = np.array([len(each) for each in tokens])
    place_T = np.arange(max(width, count_B.max()))
    last_BT = np.minimum(place_T, count_B[:, None] - 1)
    tokens_BT = np.array([each[last_T] for each, last_T in zip(tokens, last_BT, strict=True)], dtype=np.int64)
    return tokens_BT, positions_B[:, None].astype(np.int64) + last_BT, place_T < count_B[:, None]


def area_bytes(settings: Settings) -> int:
    """Room for the caches of as many prompts as are read at once and sent ahead, of any length and dtype."""
    shape = model_shape(settings)
    row = 2 * shape.layers * shape.key_value_heads * shape.positions * shape.head_width * WIDEST_ITEM_BYTES
    return AHEAD_GROUPS * row * int(settings["execution.prefill_requests"])
