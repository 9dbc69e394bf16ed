"""How several chips share the network: along the samples of a batch alone; see `workloads/partition.py`."""

from __future__ import annotations

from oildrop.workloads.protocols import Settings

MODEL_AXIS: dict[str, int] = {}
"""None: the matrices are too small for exchanges between chips to pay."""


def divided(settings: Settings) -> dict[str, int]:
    """Nothing."""
    return {}


def inputs(settings: Settings) -> tuple[tuple[tuple[int, ...], str], ...]:
    """Images [B, H, W] and their labels [B]."""
    batch, side = int(settings["data.images_per_batch"]), int(settings["data.side_px"])
    return ((batch, side, side), "float32"), ((batch,), "int32")
