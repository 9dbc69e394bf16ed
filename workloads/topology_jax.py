"""Compiles a benchmark's training step for a TPU slice that is not here: libtpu's compiler needs no chip.

It is the step that `engine_jax` runs, of the declared dtype, with donated state. Nothing is put on any device.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, ShapeDtypeStruct
from jax.experimental import topologies
from jax.experimental.mesh_utils import create_device_mesh
from jax.sharding import NamedSharding, PartitionSpec

from oildrop.workloads.collectives import counted_collectives
from oildrop.workloads.engine import adamw_of
from oildrop.workloads.engine_jax import Model, State, Tensors, state_shapes, train_step
from oildrop.workloads.partition import DATA, MODEL, Mesh, cut_of, partition
from oildrop.workloads.protocols import Settings

PROGRAM = "*jit_step*.after_optimizations.txt"
"""The file in which XLA's compiler dumps the program as it will run."""

OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"
"""What XLA's message begins with where a program takes more memory than the chip has."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Chips that are connected: libtpu's name of them, and of how a chip's cores are joined (empty: as usual)."""

    topology: str
    chip_config: str = ""


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """A `Model` whose weights are gathered along `data` where they are used; their gradients are scattered again.

    Without this the compiler may let the weights' places decide the activations', and give every chip every sample.

    Attributes:
        places: Where each weight lies while it is used.
    """

    model: Model
    places: Mapping[str, NamedSharding]

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """The model's."""
        return self.model.tensors()

    def losses(self, weights: Tensors, *inputs: Array, dtype: str) -> Array:
        """The model's."""
        return self.model.losses(self._gathered(weights), *inputs, dtype=dtype)

    def score(self, weights: Tensors, *inputs: Array, dtype: str) -> tuple[Array, Array]:
        """The model's."""
        return self.model.score(self._gathered(weights), *inputs, dtype=dtype)

    def _gathered(self, weights: Tensors) -> Tensors:
        return {name: jax.lax.with_sharding_constraint(weights[name], place) for name, place in self.places.items()}


def chips_of(place: Slice) -> Sequence[Any]:
    """The slice's chips, each a device that can be compiled for and nothing else."""
    options = {"chip_config_name": place.chip_config} if place.chip_config else {}
    devices: Sequence[Any] = topologies.get_topology_desc(
        platform="tpu", topology_name=place.topology, **options
    ).devices
    return devices


def mesh_of(devices: Sequence[Any], mesh: Mesh) -> jax.sharding.Mesh:
    """`mesh` laid over `devices`, neighbours along an axis close to each other.

    An axis may take a part of one of the grid's sides: 2 chips of 4, say.
    """
    grid = create_device_mesh((mesh.data, mesh.model), devices, allow_split_physical_axes=True)
    return jax.sharding.Mesh(grid, (DATA, MODEL))


def compiled_step(task: str, settings: Settings, place: Slice, mesh: Mesh, folder: Path) -> dict[str, Any]:
    """What the compiler says of `task`'s training step, in the types that JSON has.

    Args:
        folder: Empty, for the program's text: jaxlib cannot always read back what a newer libtpu made.

    Returns:
        `device_kind`, `jax`, `libtpu`, `lower_s` and `compile_s`; then either `refused`, the compiler's message
        where memory is short, or `memory` (bytes of one chip), `xla` (its own counts for one chip) and `collectives`,
        which are None where the compiler left no text.
    """
    devices = chips_of(place)
    on = mesh_of(devices, mesh)
    arguments = _arguments(task, settings, on, mesh)
    state, _, rate = arguments
    model = Gathered(model=_model(task, settings), places=_places(task, settings, on, replace(mesh, sharded=False)))
    step = jax.jit(
        train_step(model, adamw_of(settings), str(settings["execution.dtype"])),
        donate_argnums=0,
        out_shardings=(jax.tree.map(lambda leaf: leaf.sharding, state), rate.sharding),
    )
    start = time.perf_counter()
    lowered = step.lower(*arguments)
    report = {
        "device_kind": devices[0].device_kind,
        "chips": len(devices),
        "jax": version("jax"),
        "libtpu": version("libtpu"),
        "lower_s": time.perf_counter() - start,
    }
    start = time.perf_counter()
    try:
        compiled = lowered.compile({"xla_dump_to": str(folder), "xla_dump_hlo_as_text": True})
    except jax.errors.JaxRuntimeError as error:
        if OUT_OF_MEMORY not in str(error):
            raise
        return report | {"compile_s": time.perf_counter() - start, "refused": _shortened(str(error))}
    return report | {"compile_s": time.perf_counter() - start} | _said(compiled, folder)


def _model(task: str, settings: Settings) -> Model:
    made: Model = import_module(f"oildrop.workloads.{task}.model_jax").make_model(settings)
    return made


def _places(task: str, settings: Settings, on: jax.sharding.Mesh, mesh: Mesh) -> dict[str, NamedSharding]:
    """Where each tensor lies."""
    axes = partition(task, _model(task, settings).tensors(), mesh)
    return {name: NamedSharding(on, PartitionSpec(*axes[name])) for name in axes}


def _arguments(
    task: str, settings: Settings, on: jax.sharding.Mesh, mesh: Mesh
) -> tuple[State, tuple[ShapeDtypeStruct, ...], ShapeDtypeStruct]:
    """State, inputs and learning rate as shapes, each with its place."""
    shapes = state_shapes(_model(task, settings))
    places = _places(task, settings, on, mesh)
    whole = NamedSharding(on, PartitionSpec())

    def placed(tensors: Mapping[str, Any]) -> Any:
        return {name: ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=places[name]) for name, leaf in tensors.items()}

    moments = shapes.moments
    count = ShapeDtypeStruct(moments.count.shape, moments.count.dtype, sharding=whole)
    state = State(
        weights=placed(shapes.weights),
        average=placed(shapes.average),
        moments=moments._replace(count=count, mu=placed(moments.mu), nu=placed(moments.nu)),
    )
    along = NamedSharding(on, PartitionSpec(DATA))
    inputs = tuple(ShapeDtypeStruct(*said, sharding=along) for said in cut_of(task).inputs(settings))
    return state, inputs, ShapeDtypeStruct((), jnp.float32, sharding=whole)


def _said(compiled: Any, folder: Path) -> dict[str, Any]:
    memory, costs = compiled.memory_analysis(), compiled.cost_analysis()
    texts = [path.read_text() for path in sorted(folder.glob(PROGRAM))]
    return {
        "memory": {
            "code": memory.generated_code_size_in_bytes,
            "arguments": memory.argument_size_in_bytes,
            "outputs": memory.output_size_in_bytes,
            "aliased": memory.alias_size_in_bytes,
            "temporaries": memory.temp_size_in_bytes,
        },
        "xla": {"flop": costs["flops"], "moved_bytes": costs["bytes accessed"]},
        "collectives": counted_collectives(texts[-1]) if texts else None,
    }


def _shortened(message: str) -> str:
    """The first paragraph; a list of allocations follows it."""
    return " ".join(message.split("\n\n")[0].split())
