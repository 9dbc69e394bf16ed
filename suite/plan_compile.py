"""A training step compiled for a slice of TPU chips that is not here: what its compiler says beside our formulas."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from oildrop.harness.compile_child import ask_compiler
from oildrop.harness.detect_software import installed_versions, missing_software, needs_of, own_requirements
from oildrop.harness.meters.isolation import Answer
from oildrop.rules.errors import OildropError, RulebookError, Unsupported, UsageError
from oildrop.rules.formulas.memory import DecoderSize, train_memory_bytes
from oildrop.rules.formulas.roofline import MFU_RANGE, Work, decoder_step_moved_bytes
from oildrop.rules.reference import batch_key
from oildrop.rules.rulebook import DevicePeaks, Rulebook
from oildrop.suite.plan_mesh import choose_mesh, estimated_bytes, meshes
from oildrop.suite.plan_sizes import Job, Place, divisors
from oildrop.suite.plan_targets import Target, parse_target, targets
from oildrop.workloads.partition import Mesh, misfit, parse_mesh

COMPILE_LIMIT_S = 1200.0
"""Longest that the compiler may take, where nobody says."""

Ask = Callable[..., Answer]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A job on a slice whose chips are `part`, cut as `mesh` says."""

    job: Job
    target: Target
    part: DevicePeaks
    mesh: Mesh

    @property
    def place(self) -> Place:
        """The slice as a plan sees it."""
        return Place(part=self.part, count=self.target.chips)


def wanted(rulebook: Rulebook, job: Job, target: str, mesh: str | None) -> Wanted:
    """What is to be compiled.

    Args:
        target: A slice by name, such as `tpu:v5e-4`.
        mesh: As a person wrote it; None takes the simplest cut that should fit.

    Raises:
        UsageError: No such slice; the mesh is not the slice's, or does not cut the work evenly.
        RulebookError: The table of parts lacks the slice's.
    """
    found = parse_target(target)
    part = rulebook.peaks_of(found.device_kind)
    if part is None:
        raise RulebookError(f"devices.toml has no part that matches {found.device_kind!r}; add it")
    place, sharded = Place(part=part, count=found.chips), job.settings.get("execution.sharding") == "sharded"
    if mesh is None:
        return Wanted(job=job, target=found, part=part, mesh=choose_mesh(job, place, sharded=sharded))
    asked = parse_mesh(mesh, place.count, sharded=sharded)
    why = misfit(job.benchmark.task, job.settings, job.batch, asked)
    if why is not None:
        even = ", ".join(dict.fromkeys(str(each) for each in meshes(job, place.count, sharded=sharded)))
        raise UsageError(f"--mesh {asked}: {why}; " + (f"use one of {even}" if even else "take a smaller slice"))
    return Wanted(job=job, target=found, part=part, mesh=asked)


def require_compiler(installed: Mapping[str, str] | None = None) -> None:
    """Raise Unsupported where JAX or libtpu is not installed, with what would install it."""
    found = installed_versions() if installed is None else installed
    reason = missing_software("jax-tpu", needs_of("jax", own_requirements()), found)
    if reason is not None:
        raise Unsupported(f"nothing can be compiled for a TPU: {reason}; pip install 'oildrop[jax,tpu]' (Linux, x86)")


def compile_plan(want: Wanted, *, limit_s: float, ask: Ask = ask_compiler) -> dict[str, Any]:
    """The compiler's answer and ours, in the types that JSON has.

    Raises:
        OildropError: The compiler gave no answer within `limit_s`, ended, or failed for another reason than memory.
    """
    job, target = want.job, want.target
    answer = ask(
        job.benchmark.task,
        job.settings,
        want.mesh,
        topology=target.topology,
        chip_config=target.generation.chip_config,
        limit_s=limit_s,
    )
    if answer.reason is not None:
        raise OildropError(
            f"{job.benchmark.name} was not compiled for {target.name}: {answer.reason} "
            f"(limit {limit_s:g} s; --timeout gives more)"
        )
    ours, theirs = _by_formula(want), _by_compiler(want, answer.value)
    return {**ours, **theirs, "missing": {**_no_times(want), **_no_collectives(answer.value)}}


def _by_compiler(want: Wanted, said: Mapping[str, Any]) -> dict[str, Any]:
    memory = said.get("memory")
    if memory is not None:
        # A donated argument is its output: both are counted and lie in memory once.
        taken = memory["code"] + memory["arguments"] + memory["outputs"] - memory["aliased"] + memory["temporaries"]
        memory = {**memory, "total": taken}
    limit = want.part.memory_bytes
    fits = "refused" not in said and (memory is None or limit is None or memory["total"] <= limit)
    xla = said.get("xla")
    return {
        "fits": fits,
        "refused": said.get("refused"),
        "advice": [] if fits else list(advice(want)),
        "memory": memory,
        "xla_flop_per_step": None if xla is None else xla["flop"] * want.target.chips,
        "xla_moved_bytes": None if xla is None else xla["moved_bytes"],
        "collectives": said.get("collectives"),
        **{key: said[key] for key in ("device_kind", "lower_s", "compile_s", "jax", "libtpu")},
    }


def _by_formula(want: Wanted) -> dict[str, Any]:
    job, part, mesh = want.job, want.part, want.mesh
    flop = job.flops_per_token * job.tokens_per_sample * job.batch
    moved = _moved_bytes(job, mesh)
    peak = part.peak_flop_per_s.get(job.dtype)
    work = Work(flop=flop / mesh.chips, moved_bytes=moved or 0.0)
    times = []
    for mfu in MFU_RANGE if peak is not None else ():
        step_s = work.seconds(peak_flop_per_s=peak or 0.0, bandwidth_bytes_per_s=part.bandwidth_bytes_per_s, mfu=mfu)
        times.append({"mfu": mfu, "step_s": step_s})
    return {
        "target": want.target.name,
        "topology": want.target.topology,
        "device": part.name,
        "chips": mesh.chips,
        "mesh": asdict(mesh),
        "compiled_only": mesh.model > 1 or mesh.sharded,
        "memory_bytes": part.memory_bytes,
        "formula_bytes": estimated_bytes(job, mesh),
        "flop_per_step": flop,
        "moved_bytes": moved,
        "times": times,
    }


def _no_times(want: Wanted) -> dict[str, str]:
    part, dtype = want.part, want.job.dtype
    return {} if dtype in part.peak_flop_per_s else {"times": f"the table has no {dtype} peak of {part.name}"}


def _no_collectives(said: Mapping[str, Any]) -> dict[str, str]:
    if said.get("collectives") is not None:
        return {}
    return {"collectives": "no program was made" if "refused" in said else "the compiler left no text of the program"}


def _moved_bytes(job: Job, mesh: Mesh) -> float | None:
    """Least traffic of a step on one chip; None for a model that has no formula of it."""
    if not isinstance(job.size, DecoderSize):
        return None
    shards = mesh.data if mesh.sharded else 1
    tokens = job.batch // mesh.data * job.tokens_per_sample
    memory = train_memory_bytes(job.size, tokens=tokens, dtype=job.dtype, shards=shards)
    return decoder_step_moved_bytes(job.size, memory, dtype=job.dtype, shards=shards) / mesh.model


def advice(want: Wanted) -> Iterator[str]:
    """What should fit by formula where a program does not: another cut, more chips, fewer samples a step."""
    found = tuple(_changes(want))
    yield from found or ("no other cut, no larger slice and no smaller batch should fit; take a chip with more memory",)


def _changes(want: Wanted) -> Iterator[str]:
    job, place, key = want.job, want.place, batch_key(want.job.settings)
    for mesh in meshes(job, place.count, sharded=False):
        if mesh != want.mesh and _should_fit(job, mesh, place):
            state = " --set execution.sharding=sharded" if mesh.sharded else ""
            yield f"another cut of the same slice: --mesh {mesh}{state}"
            break
    for larger in targets(want.target.generation):
        more = replace(place, count=larger.chips)
        if more.count > place.count and any(
            _should_fit(job, mesh, more) for mesh in meshes(job, more.count, sharded=False)
        ):
            yield f"more chips: --compile {larger.name}"
            break
    for batch in reversed(divisors(job.batch)[:-1]):
        if batch % want.mesh.data == 0 and _should_fit(replace(job, batch=batch), want.mesh, place):
            yield f"fewer samples a step: --set {key}={batch} --mesh {want.mesh}"
            break


def _should_fit(job: Job, mesh: Mesh, place: Place) -> bool:
    size = estimated_bytes(job, mesh)
    return size is not None and place.usable_bytes is not None and size <= place.usable_bytes
