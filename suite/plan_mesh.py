"""How a job is cut among the chips of a slice where nobody said: the simplest cut that should fit. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from oildrop.rules.errors import UsageError
from oildrop.rules.formulas.memory import PRODUCT_BYTES, DecoderSize, train_memory_bytes
from oildrop.suite.plan_sizes import Job, Place, divisors
from oildrop.workloads.partition import Mesh, misfit


def estimated_bytes(job: Job, mesh: Mesh) -> float | None:
    """Memory of one chip before anything is compiled; None for a model whose memory has no formula.

    The plan's formula over the samples of one chip of `data`, shared evenly along `model`; and beside it the scores of
    attention, which the JAX model does not fuse: a token, head and position once in fp32 and once as an operand.
    """
    if not isinstance(job.size, DecoderSize):
        return None
    tokens = job.batch // mesh.data * job.tokens_per_sample
    shards = mesh.data if mesh.sharded else 1
    memory = train_memory_bytes(job.size, tokens=tokens, dtype=job.dtype, shards=shards)
    score_bytes = 4 + PRODUCT_BYTES[job.dtype]
    scores = tokens * job.size.layers * job.size.heads * job.size.positions * score_bytes
    return (memory.total + scores) / mesh.model


def meshes(job: Job, chips: int, *, sharded: bool) -> Iterator[Mesh]:
    """Every even cut among `chips` chips, in the order of preference.

    Samples in parallel, then state sharded too, then matrices in parts: each exchanges more between chips.
    """
    for model in divisors(chips):
        data = chips // model
        if misfit(job.benchmark.task, job.settings, job.batch, Mesh(data=data, model=model)) is not None:
            continue
        if not sharded or data == 1:
            yield Mesh(data=data, model=model)
        if data > 1:
            yield Mesh(data=data, model=model, sharded=True)


def choose_mesh(job: Job, place: Place, *, sharded: bool) -> Mesh:
    """The first of `meshes` that should fit on `place`; where none does, the one that takes least.

    Args:
        sharded: Whether the settings ask for sharded state.

    Raises:
        UsageError: No even cut of this work among so many chips.
    """
    found = list(meshes(job, place.count, sharded=sharded))
    if not found:
        raise UsageError(
            f"{place.count} chips cannot share a step of {job.benchmark.name} evenly: it has {job.batch} samples, and "
            f"{misfit(job.benchmark.task, job.settings, job.batch, Mesh(data=1, model=place.count)) or 'no more'}; "
            "take a smaller slice"
        )
    sizes = [estimated_bytes(job, mesh) for mesh in found]
    for mesh, size in zip(found, sizes, strict=True):
        if size is None or place.usable_bytes is None or size <= place.usable_bytes:
            return mesh
    return min(zip(found, sizes, strict=True), key=lambda each: each[1] or 0.0)[0]
