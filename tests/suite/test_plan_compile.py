"""Slices by name, the cut that is chosen, and what a compiler's answer becomes; a stand-in answers for the compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from oildrop.harness.meters.isolation import Answer
from oildrop.rules.errors import OildropError, Unsupported, UsageError
from oildrop.rules.loading import load_rulebook
from oildrop.rules.settings import resolve
from oildrop.suite.plan_compile import Wanted, compile_plan, require_compiler, wanted
from oildrop.suite.plan_mesh import choose_mesh, estimated_bytes, meshes
from oildrop.suite.plan_sizes import Job, Place, job_of
from oildrop.suite.plan_targets import GENERATIONS, parse_target, targets
from oildrop.workloads.partition import Mesh

RULEBOOK = load_rulebook()
GIB = 2**30


def job(tier: str, benchmark: str = "lm-pretrain", **changes: str) -> Job:
    found = RULEBOOK.benchmarks[benchmark]
    named = {key.replace("__", "."): value for key, value in changes.items()}
    return job_of(found, found.tiers[tier], resolve(found, tier, "open", named).settings)


def want(tier: str, target: str, mesh: str | None = None, **changes: str) -> Wanted:
    return wanted(RULEBOOK, job(tier, **changes), target, mesh)


@pytest.mark.parametrize(
    ("name", "topology", "chips"),
    [
        ("tpu:v4-8", "v4:2x2x1", 4),
        ("tpu:v5e-4", "v5e:2x2", 4),
        ("tpu:v5p-8", "v5p:2x2x1", 4),
        ("TPU:v6e-4", "v6e:2x2", 4),
        ("tpu:v5e-1", "v5e:1x1", 1),
        ("tpu:v5e-256", "v5e:16x16", 256),
        ("tpu:v4-32", "v4:2x2x4", 16),
        ("tpu:v5p-512", "v5p:4x8x8", 256),
    ],
)
def test_a_slice_has_its_grid_of_chips(name: str, topology: str, chips: int) -> None:
    found = parse_target(name)
    assert (found.topology, found.chips) == (topology, chips)


@pytest.mark.parametrize(
    ("name", "offered"),
    [
        ("tpu:v5e-3", "tpu:v5e-4, tpu:v5e-8.*counts chips"),
        ("tpu:v5p-4", "tpu:v5p-8.*counts TensorCores, two a chip"),
        ("tpu:v9-8", "tpu:v4-8, tpu:v5e-4, tpu:v5p-8, tpu:v6e-4"),
        ("gpu:h100-8", "tpu:v4-8"),
        ("v5e-4", "tpu:v5e-4"),
    ],
)
def test_an_unknown_slice_lists_the_known_ones(name: str, offered: str) -> None:
    with pytest.raises(UsageError, match=offered):
        parse_target(name)


def test_every_generation_is_in_the_table_of_parts() -> None:
    for generation in GENERATIONS.values():
        for target in targets(generation):
            part = RULEBOOK.peaks_of(target.device_kind)
            assert part is not None and part.memory_bytes is not None
            assert parse_target(target.name) == target


def test_samples_in_parallel_come_first_then_sharded_state_then_parts_of_matrices() -> None:
    assert list(meshes(job("nano"), 4, sharded=False)) == [
        Mesh(data=4), Mesh(data=4, sharded=True), Mesh(data=2, model=2), Mesh(data=2, model=2, sharded=True),
        Mesh(data=1, model=4),
    ]  # fmt: skip
    assert all(mesh.sharded for mesh in meshes(job("nano"), 4, sharded=True) if mesh.data > 1)


def test_the_simplest_cut_that_should_fit_is_taken() -> None:
    assert want("nano", "tpu:v5e-4").mesh == Mesh(data=4)
    assert want("nano", "tpu:v5e-16").mesh == Mesh(data=8, model=2)  # 8 documents a step
    pod = want("pod", "tpu:v5p-256")
    assert pod.mesh.chips == 128 and pod.mesh.sharded
    size = estimated_bytes(pod.job, pod.mesh)
    assert size is not None and size <= 0.9 * 95 * GIB
    simpler = list(meshes(pod.job, 128, sharded=False))
    for mesh in simpler[: simpler.index(pod.mesh)]:
        assert (estimated_bytes(pod.job, mesh) or 0) > 0.9 * 95 * GIB


def test_where_nothing_fits_the_cut_that_takes_least_is_tried() -> None:
    pod = job("pod")
    place = Place(part=RULEBOOK.peaks_of("TPU v5e"), count=4)
    chosen = estimated_bytes(pod, choose_mesh(pod, place, sharded=False))
    assert chosen == min(estimated_bytes(pod, mesh) or 0 for mesh in meshes(pod, 4, sharded=False))


def test_attention_that_is_not_fused_is_in_the_estimate() -> None:
    """Tier small, by hand: 8,192 tokens a step, 12 layers and heads, 512 positions, 4 + 2 bytes a score."""
    from oildrop.rules.formulas.memory import train_memory_bytes

    small = job("small")
    assert small.size is not None
    plain = train_memory_bytes(small.size, tokens=8192, dtype="bf16").total
    assert estimated_bytes(small, Mesh(data=1)) == plain + 8192 * 12 * 12 * 512 * 6


def test_a_cut_that_is_not_even_offers_those_that_are() -> None:
    with pytest.raises(UsageError, match=r"does not divide the 8 samples.*use one of data=8,model=2"):
        want("nano", "tpu:v5e-16", "data=16")
    with pytest.raises(UsageError, match=r"64 chips cannot share a step.*smaller slice"):
        want("nano", "tpu:v5e-64")


def test_without_a_compiler_the_install_is_named() -> None:
    with pytest.raises(Unsupported, match=r"pip install 'oildrop\[jax,tpu\]'"):
        require_compiler({"jax": "0.10.2", "optax": "0.2.8"})
    with pytest.raises(Unsupported, match="jax is not installed"):
        require_compiler({"libtpu": "0.0.52"})
    require_compiler({"jax": "0.10.2", "optax": "0.2.8", "libtpu": "0.0.52"})


SAID = {"device_kind": "TPU v5 lite", "chips": 4, "jax": "1", "libtpu": "2", "lower_s": 0.5, "compile_s": 7.0}
MEMORY = {"code": 7, "arguments": 100, "outputs": 90, "aliased": 80, "temporaries": 1000}
GOOD = SAID | {"memory": MEMORY, "xla": {"flop": 5e9, "moved_bytes": 3e8}, "collectives": {"all-reduce": 1}}


def answering(value: Any = None, reason: str | None = None) -> Callable[..., Answer]:
    return lambda *_, **__: Answer(value=value, reason=reason)


def test_a_donated_argument_is_counted_once_and_counts_are_for_all_chips() -> None:
    found = compile_plan(want("small", "tpu:v5e-4"), limit_s=9, ask=answering(GOOD))
    assert found["memory"]["total"] == 7 + 100 + (90 - 80) + 1000
    assert found["fits"] is True and found["advice"] == [] and found["refused"] is None
    assert found["xla_flop_per_step"] == 4 * 5e9
    assert found["collectives"] == {"all-reduce": 1} and found["missing"] == {}
    assert found["compiled_only"] is False
    assert compile_plan(want("small", "tpu:v5e-4", "model=4"), limit_s=9, ask=answering(GOOD))["compiled_only"] is True


def test_least_times_are_flops_of_a_chip_over_its_peak() -> None:
    found = compile_plan(want("small", "tpu:v5e-4"), limit_s=9, ask=answering(GOOD))
    step_s = job("small").flops_per_token * 16 * 512 / 4 / 197e12
    assert [times["mfu"] for times in found["times"]] == [1.0, 0.4]
    assert found["times"][0]["step_s"] == pytest.approx(max(step_s, found["moved_bytes"] / 819e9))
    nano = compile_plan(want("nano", "tpu:v5e-4"), limit_s=9, ask=answering(GOOD))
    assert nano["times"] == [] and "no fp32 peak of Google TPU v5e" in nano["missing"]["times"]


def test_a_program_that_is_refused_for_memory_is_an_answer_with_changes_that_should_fit() -> None:
    refused = SAID | {"refused": "RESOURCE_EXHAUSTED: Used 30G of 15.75G hbm."}
    found = compile_plan(want("base", "tpu:v5e-4", "data=4"), limit_s=9, ask=answering(refused))
    assert found["fits"] is False and found["memory"] is None and "30G" in found["refused"]
    assert found["missing"]["collectives"] == "no program was made"
    (more,) = found["advice"]
    larger = want("base", more.removeprefix("more chips: --compile "))
    assert (estimated_bytes(larger.job, larger.mesh) or 0) <= 0.9 * 16 * GIB


REFUSED = SAID | {"refused": "RESOURCE_EXHAUSTED"}


def test_more_chips_and_fewer_samples_taken_at_their_word_should_fit() -> None:
    """Tier base with 256 documents a step: a quarter of that is already too much for four v5p chips."""
    tried = want("base", "tpu:v5p-8", "data=1,model=4", data__documents_per_batch="256")
    more, fewer = compile_plan(tried, limit_s=9, ask=answering(REFUSED))["advice"]
    larger = want("base", more.removeprefix("more chips: --compile "), data__documents_per_batch="256")
    batch, mesh = fewer.removeprefix("fewer samples a step: --set data.documents_per_batch=").split(" --mesh ")
    less = want("base", "tpu:v5p-8", mesh, data__documents_per_batch=batch)
    for changed in (larger, less):
        assert (estimated_bytes(changed.job, changed.mesh) or 0) <= 0.9 * 95 * GIB


def test_another_cut_taken_at_its_word_should_fit() -> None:
    """Tier base with four documents a step on four chips of 32 GiB: whole state is too much, sharded state is not."""
    tried = want("base", "tpu:v4-8", "data=4", data__documents_per_batch="4")
    cut = compile_plan(tried, limit_s=9, ask=answering(REFUSED))["advice"][0]
    assert cut == "another cut of the same slice: --mesh data=4,model=1 --set execution.sharding=sharded"
    other = want("base", "tpu:v4-8", "data=4", data__documents_per_batch="4", execution__sharding="sharded")
    assert (
        (estimated_bytes(other.job, other.mesh) or 0) <= 0.9 * 32 * GIB < (estimated_bytes(tried.job, tried.mesh) or 0)
    )


def test_where_nothing_should_fit_that_is_said() -> None:
    wide = {"model__width": "65536", "model__hidden": "262144", "model__heads": "4", "model__layers": "64"}
    (said,) = compile_plan(want("nano", "tpu:v5e-4", **wide), limit_s=9, ask=answering(REFUSED))["advice"]
    assert "a chip with more memory" in said


def test_a_program_larger_than_the_chip_does_not_fit_whatever_the_compiler_thought() -> None:
    huge = GOOD | {"memory": MEMORY | {"temporaries": 17 * GIB}}
    assert compile_plan(want("small", "tpu:v5e-4"), limit_s=9, ask=answering(huge))["fits"] is False


def test_no_answer_is_an_error_that_names_slice_limit_and_fix() -> None:
    with pytest.raises(OildropError, match=r"tpu:v5e-4: .*no answer within 9 s.*--timeout gives more"):
        compile_plan(want("nano", "tpu:v5e-4"), limit_s=9, ask=answering(reason="x gave no answer within 9 s"))


def test_the_compiler_is_told_how_the_chips_cores_are_joined() -> None:
    told: list[dict[str, Any]] = []

    def ask(task: str, settings: Any, mesh: Mesh, **named: Any) -> Answer:
        told.append({"task": task, "mesh": mesh, **named})
        return Answer(value=GOOD)

    compile_plan(want("nano", "tpu:v4-8"), limit_s=9, ask=ask)
    assert told == [{"task": "lm_pretrain", "mesh": Mesh(data=4), "topology": "v4:2x2x1", "chip_config": "megacore",
                     "limit_s": 9}]  # fmt: skip
