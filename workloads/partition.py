"""How a training step is cut among the chips of a slice: which axis of each tensor lies along which axis of the mesh.

Free of any framework. A mesh has two axes: along `data` chips take different samples of a batch, along `model` they
take different parts of the same matrices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from oildrop.rules.errors import UsageError
from oildrop.workloads.protocols import Settings

DATA, MODEL = "data", "model"

Axes = tuple[str | None, ...]
"""For each axis of a tensor the mesh axis that cuts it; None where every chip has all of it."""


class Cut(Protocol):
    """What `workloads/<task>/partition.py` says.

    Attributes:
        MODEL_AXIS: The axis along `model`, by the last part of a tensor's canonical name; empty where the task is cut
            along its samples alone.
    """

    MODEL_AXIS: Mapping[str, int]

    def divided(self, settings: Settings) -> Mapping[str, int]:
        """What a number of chips along `model` must divide, by what it is called."""

    def inputs(self, settings: Settings) -> Sequence[tuple[tuple[int, ...], str]]:
        """Shape and dtype of what the model takes of a training batch; the first axis is the batch."""


def cut_of(task: str) -> Cut:
    """What `task` says of itself."""
    said: Any = import_module(f"oildrop.workloads.{task}.partition")
    found: Cut = said
    return found


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """`data` groups of `model` chips each.

    Attributes:
        sharded: Whether weights, average and moments are cut along `data` too, and gathered where they are used.
    """

    data: int
    model: int = 1
    sharded: bool = False

    @property
    def chips(self) -> int:
        """All of them."""
        return self.data * self.model

    def __str__(self) -> str:
        """As `--mesh` takes it."""
        return f"{DATA}={self.data},{MODEL}={self.model}"


def partition(task: str, tensors: Mapping[str, tuple[int, ...]], mesh: Mesh) -> dict[str, Axes]:
    """The axes of each tensor by canonical name.

    Along `model` the task's table decides. Along `data`, where state is sharded, it is the largest axis that is left
    and divides evenly; tensors of one axis stay whole, as they are small and a gather costs a round trip.

    Source: Shoeybi et al., arXiv 1909.08053, section 3 (`model`); Rajbhandari et al., arXiv 1910.02054, section 5
    (`data`, stage 3).
    """
    table = cut_of(task).MODEL_AXIS
    return {name: _axes(shape, table.get(name.split(".")[-1]), mesh) for name, shape in tensors.items()}


def misfit(task: str, settings: Settings, batch: int, mesh: Mesh) -> str | None:
    """Why `mesh` cannot cut this work evenly, in words; None where it can.

    Args:
        batch: Samples a step.
    """
    if batch % mesh.data:
        return f"data={mesh.data} does not divide the {batch} samples of a step"
    if mesh.model == 1:
        return None
    cut = cut_of(task)
    if not cut.MODEL_AXIS:
        return f"model={mesh.model}: {task} is cut along its samples alone; use model=1"
    for what, size in cut.divided(settings).items():
        if size % mesh.model:
            return f"model={mesh.model} does not divide {what} = {size}"
    return None


def parse_mesh(text: str, chips: int, *, sharded: bool) -> Mesh:
    """`data=4,model=2` as a mesh of `chips` chips; an axis that is not named is 1.

    Raises:
        UsageError: Another axis, no whole number, or a product other than `chips`.
    """
    sizes = {DATA: 1, MODEL: 1}
    for word in text.split(","):
        name, _, size = (part.strip() for part in word.partition("="))
        if name not in sizes or not size.isdecimal() or int(size) == 0:
            raise UsageError(
                f"--mesh {text!r}: {word.strip()!r} is not data=N or model=N; use for example data={chips}"
            )
        sizes[name] = int(size)
    mesh = Mesh(data=sizes[DATA], model=sizes[MODEL], sharded=sharded)
    if mesh.chips != chips:
        raise UsageError(f"--mesh {text!r} is {mesh.chips} chips, the slice has {chips}; use for example data={chips}")
    return mesh


def _axes(shape: tuple[int, ...], model_axis: int | None, mesh: Mesh) -> Axes:
    axes: list[str | None] = [None] * len(shape)
    if model_axis is not None and mesh.model > 1:
        axes[model_axis] = MODEL
    if mesh.sharded and len(shape) > 1:
        free = [axis for axis, taken in enumerate(axes) if taken is None and shape[axis] % mesh.data == 0]
        if free:
            axes[max(free, key=lambda axis: shape[axis])] = DATA
    return tuple(axes)
