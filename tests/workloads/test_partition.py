"""How tensors are cut among chips: by a table, evenly, and as small as the chips are many."""

from __future__ import annotations

import math

import pytest

from oildrop.rules.errors import UsageError
from oildrop.rules.loading import load_rulebook
from oildrop.rules.rulebook import settings_of
from oildrop.workloads.collectives import counted_collectives
from oildrop.workloads.lm_pretrain.reference import shape_of
from oildrop.workloads.partition import Axes, Mesh, misfit, parse_mesh, partition

TIERS = load_rulebook().benchmarks["lm-pretrain"].tiers
MESHES = [Mesh(data=4), Mesh(data=2, model=2), Mesh(data=8, sharded=True), Mesh(data=4, model=4, sharded=True)]


def elements(shape: tuple[int, ...], axes: Axes, mesh: Mesh) -> float:
    """What one chip has of a tensor, counted by dividing each axis."""
    cuts = {"data": mesh.data, "model": mesh.model, None: 1}
    return math.prod(size / cuts[axis] for size, axis in zip(shape, axes, strict=True))


@pytest.mark.parametrize("mesh", MESHES, ids=str)
@pytest.mark.parametrize("tier", ["nano", "small", "base", "pod"])
def test_every_axis_is_cut_into_whole_parts(tier: str, mesh: Mesh) -> None:
    tensors = shape_of(settings_of(TIERS[tier])).tensors()
    for name, axes in partition("lm_pretrain", tensors, mesh).items():
        cuts = {"data": mesh.data, "model": mesh.model, None: 1}
        assert [size % cuts[axis] for size, axis in zip(tensors[name], axes, strict=True)] == [0] * len(axes), name


def test_matrices_are_cut_where_the_paper_cuts_them_and_norms_are_whole() -> None:
    tensors = shape_of(settings_of(TIERS["nano"])).tensors()
    found = partition("lm_pretrain", tensors, Mesh(data=2, model=2))
    assert found["layers.3.query_key_value_OI"] == found["layers.3.gate_up_OI"] == ("model", None)
    assert found["layers.3.attention_out_OI"] == found["layers.3.down_OI"] == (None, "model")
    assert found["embedding_VW"] == found["head_VW"] == ("model", None)
    assert found["norm_W"] == found["layers.0.feed_norm_W"] == (None,)


def test_a_chip_has_its_part_of_the_parameters() -> None:
    """Tier pod on 4 x 8 chips, sharded: the matrices over 32, and norms of 65 x 4096 whole."""
    tensors = shape_of(settings_of(TIERS["pod"])).tensors()
    mesh = Mesh(data=8, model=4, sharded=True)
    cut = partition("lm_pretrain", tensors, mesh)
    had = sum(elements(shape, cut[name], mesh) for name, shape in tensors.items())
    norms = 65 * 4096
    matrices = sum(math.prod(shape) for shape in tensors.values()) - norms
    assert had == matrices / 32 + norms


def test_state_that_is_not_sharded_is_whole_along_data() -> None:
    tensors = shape_of(settings_of(TIERS["nano"])).tensors()
    assert all(set(axes) == {None} for axes in partition("lm_pretrain", tensors, Mesh(data=4)).values())


def test_the_largest_axis_that_divides_is_sharded() -> None:
    tensors = {"a": (6, 7), "b": (9, 8), "c": (3, 5), "d": (4,), "e": (4, 8), "f": (8, 4)}
    assert partition("image_classify", tensors, Mesh(data=2, sharded=True)) == {
        "a": ("data", None),
        "b": (None, "data"),
        "c": (None, None),
        "d": (None,),
        "e": (None, "data"),
        "f": ("data", None),
    }


@pytest.mark.parametrize(
    ("task", "batch", "mesh", "why"),
    [
        ("lm_pretrain", 8, Mesh(data=8), None),
        ("lm_pretrain", 8, Mesh(data=16), "data=16 does not divide the 8 samples of a step"),
        ("lm_pretrain", 8, Mesh(data=1, model=4), None),
        ("lm_pretrain", 8, Mesh(data=1, model=8), "model=8 does not divide model.key_value_heads = 4"),
        ("image_classify", 128, Mesh(data=4), None),
        ("image_classify", 128, Mesh(data=2, model=2), "image_classify is cut along its samples alone"),
    ],
)
def test_what_cannot_be_cut_evenly_is_named(task: str, batch: int, mesh: Mesh, why: str | None) -> None:
    found = misfit(task, settings_of(TIERS["nano"]), batch, mesh)
    assert found is None if why is None else why in str(found)


def test_a_mesh_is_read_as_it_is_shown() -> None:
    mesh = parse_mesh("model=2, data=4", 8, sharded=True)
    assert mesh == Mesh(data=4, model=2, sharded=True) and parse_mesh(str(mesh), 8, sharded=True) == mesh
    assert parse_mesh("model=4", 4, sharded=False) == Mesh(data=1, model=4)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("data=3", "3 chips, the slice has 4"),
        ("rows=4", "'rows=4' is not"),
        ("data=0", "is not data=N"),
        ("data=", "is not data=N"),
    ],
)
def test_a_mesh_that_is_not_the_slices_is_refused(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse_mesh(text, 4, sharded=False)


PROGRAM = """
%fused (param: f32[4]) -> f32[8] {
  %all-gather.1 = f32[8]{0:T(8,128)S(1)} all-gather(%param), channel_id=3, replica_groups={{0,1}}
}
%again (param: f32[4]) -> f32[8] {
  ROOT %all-gather.2 = f32[8]{0} all-gather(%param), channel_id=3, metadata={op_name="jit(step)/all-to-all(x)"}
}
ENTRY %main {
  %all-gather-start = (f32[4]{0}, f32[8]{0}) all-gather-start(%a), channel_id=5
  %all-gather-done = f32[8]{0} all-gather-done(%all-gather-start)
  %all-reduce.7 = (f32[2]{0}, /*index=1*/f32[]) all-reduce(%b, %c), channel_id=1, to_apply=%add
  %all-reduce.8 = f32[2]{0} all-reduce(%d), to_apply=%add
  %get-tuple-element = f32[2]{0} get-tuple-element(%all-reduce.7), index=0
}
"""


def test_an_exchange_counts_once_wherever_the_compiler_writes_it() -> None:
    """By hand: gathers of channels 3 and 5; a sum of channel 1 and one without; names and ends do not count."""
    assert counted_collectives(PROGRAM) == {
        "all-reduce": 2, "all-gather": 2, "reduce-scatter": 0, "all-to-all": 0, "collective-permute": 0
    }  # fmt: skip
