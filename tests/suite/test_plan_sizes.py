"""Sizes, times, devices and advice of a plan, each worked out another way."""

from __future__ import annotations

import dataclasses

import pytest

from oildrop.rules.errors import UsageError
from oildrop.rules.loading import load_rulebook
from oildrop.rules.rulebook import DevicePeaks, Rulebook
from oildrop.rules.rulebook_parts import Schedule
from oildrop.rules.settings import resolve
from oildrop.rules.system import Accelerator
from oildrop.suite.plan_advice import advice
from oildrop.suite.plan_device import find_part, own_part
from oildrop.suite.plan_sizes import Job, Place, evaluations_until, job_of, sizes_of

GIB = 2**30


@pytest.fixture(scope="module")
def rulebook() -> Rulebook:
    return load_rulebook()


def job(rulebook: Rulebook, tier: str, **changes: str) -> Job:
    benchmark = rulebook.benchmarks["lm-pretrain"]
    named = {key.replace("__", "."): value for key, value in changes.items()}
    return job_of(benchmark, benchmark.tiers[tier], resolve(benchmark, tier, "open", named).settings)


def part(memory_gib: int | None = 80, **peaks: float) -> DevicePeaks:
    """A part of round figures: 100 TFLOP/s in bf16, and memory so fast that arithmetic bounds."""
    return DevicePeaks(
        name="Toy", match=("Toy",), peak_flop_per_s=peaks or {"bf16": 1e14}, bandwidth_bytes_per_s=1e15,
        memory_bytes=None if memory_gib is None else memory_gib * GIB, source="made up", date="2026-11-24",
    )  # fmt: skip


@pytest.mark.parametrize("schedule", [
    Schedule(first=1600, every=40, early_every=400), Schedule(first=0, every=80), Schedule(first=24, every=16),
    Schedule(first=25, every=16), Schedule(first=30, every=10, early_every=7),
])  # fmt: skip
@pytest.mark.parametrize("batch", [1, 3, 8, 64])
@pytest.mark.parametrize("samples", [0, 7, 1599, 1600, 1641, 8640])
def test_evaluations_are_counted_as_if_walked_over(schedule: Schedule, batch: int, samples: int) -> None:
    walked = sum(schedule.evaluates_after(at) for at in range(batch, samples + 1, batch))
    assert evaluations_until(schedule, batch, samples) == walked


def test_counting_evaluations_takes_no_time_for_a_huge_cap() -> None:
    assert evaluations_until(Schedule(first=0, every=10), 1, 10**12) == 10**11


def test_times_are_flops_over_the_peak(rulebook: Rulebook) -> None:
    """Tier base, 8 x 2048 tokens of 6.29 GFLOP at 100 TFLOP/s, 1.03 s a step; evaluations at a third a token."""
    base = job(rulebook, "base")
    full, usual = sizes_of(base, Place(part=part()), target_samples=12000.0).times
    step_s = 8 * 2048 * 6_290_079_744 / 1e14
    assert (full.mfu, usual.mfu) == (1.0, 0.4)
    assert full.step_s == pytest.approx(step_s)
    assert usual.step_s == pytest.approx(2.5 * step_s)
    evaluation_s = 32 * 2048 * 6_290_079_744 / 3 / 1e14
    early, late = 3, (97200 - 6000) // 240 + 1  # after 1600, 3200 and 4800; then from 6000 on
    assert full.cap_s == pytest.approx(97200 / 8 * step_s + (early + late) * evaluation_s)
    assert full.target_s == pytest.approx(1500 * step_s + (early + 26) * evaluation_s)


def test_several_devices_share_the_work_and_must_divide_it(rulebook: Rulebook) -> None:
    base = job(rulebook, "base")
    one, four = (sizes_of(base, Place(part=part(), count=count), None).times[0] for count in (1, 4))
    assert one.step_s == pytest.approx(4 * (four.step_s or 0))
    with pytest.raises(
        UsageError, match=r"--devices 3 does not divide data\.documents_per_batch = 8; use one of 1, 2, 4, 8"
    ):
        sizes_of(base, Place(part=part(), count=3), None)


def test_what_is_not_known_is_null_with_a_reason(rulebook: Rulebook) -> None:
    nowhere = sizes_of(job(rulebook, "base"), Place(part=None), None)
    assert nowhere.fits is None and nowhere.times[0].step_s is None
    assert nowhere.missing["step_s"] == "no part was named"
    assert "no reference runs" in nowhere.missing["target_s"]
    no_peak = sizes_of(job(rulebook, "nano"), Place(part=part(memory_gib=None)), 2000.0)
    assert "no fp32 peak of Toy" in no_peak.missing["step_s"] and no_peak.times[0].target_s is None
    assert "no memory of this part" in no_peak.missing["fits"]


def test_a_benchmark_without_formula_of_memory_is_timed_by_its_flops(rulebook: Rulebook) -> None:
    images = rulebook.benchmarks["image-classify"]
    planned = job_of(images, images.tiers["nano"], resolve(images, "nano", "closed", {}).settings)
    planned = dataclasses.replace(planned, size=None)
    sizes = sizes_of(planned, Place(part=part(fp32=1e12)), None)
    assert sizes.memory == {} and sizes.fits is None and "no formula of memory" in sizes.missing["memory"]
    assert sizes.times[0].step_s == pytest.approx(128 * planned.flops_per_token / 1e12)


def test_images_are_planned_by_what_their_training_keeps(rulebook: Rulebook) -> None:
    """74194 parameters; and of each image 10112 numbers of layers in fp32, by hand in the tests of the formula."""
    images = rulebook.benchmarks["image-classify"]
    planned = job_of(images, images.tiers["nano"], resolve(images, "nano", "closed", {}).settings)
    sizes = sizes_of(planned, Place(part=part(fp32=1e15)), None)
    kept = 128 * 4 * (10_112 + 96 + 3 * 10)
    assert sizes.memory["replicated"].total == 20 * 74_194 + kept and sizes.fits
    assert sizes.moved_bytes == 52 * 74_194 + 2 * kept


def test_no_recomputing_is_advised_where_it_has_no_formula(rulebook: Rulebook) -> None:
    images = rulebook.benchmarks["image-classify"]
    planned = job_of(images, images.tiers["small"], resolve(images, "small", "closed", {}).settings)
    total = sizes_of(planned, Place(part=None), None).memory["replicated"].total
    tight = Place(part=part().model_copy(update={"memory_bytes": total}))  # nine tenths of it are usable
    said = advice(planned, tight, sizes_of(planned, tight, None))
    assert [sentence.partition(":")[0] for sentence in said] == ["fewer samples a step", "more devices"]


def test_a_job_fits_up_to_nine_tenths_of_the_memory(rulebook: Rulebook) -> None:
    base = job(rulebook, "base")
    total = sizes_of(base, Place(part=None), None).memory["replicated"].total
    assert 45 < total / GIB < 46
    assert sizes_of(base, Place(part=part(memory_gib=51)), None).fits
    assert not sizes_of(base, Place(part=part(memory_gib=50)), None).fits


def test_advice_names_changes_that_do_fit(rulebook: Rulebook) -> None:
    """Each sentence is taken at its word."""
    base, place = job(rulebook, "base"), Place(part=part(memory_gib=48))
    fewer, more, recompute = advice(base, place, sizes_of(base, place, None))
    assert "--set data.documents_per_batch=4 (division open)" in fewer
    assert sizes_of(job(rulebook, "base", data__documents_per_batch="4"), place, None).fits
    assert "--devices 2" in more and "FSDP" in more
    two = sizes_of(base, Place(part=place.part, count=2), None)
    assert two.fits and two.layout == "replicated"
    assert "recomputes" in recompute


def test_advice_is_silent_where_it_fits_and_honest_where_nothing_helps(rulebook: Rulebook) -> None:
    base, pod = job(rulebook, "base"), job(rulebook, "pod")
    roomy, tight = Place(part=part(memory_gib=80)), Place(part=part(memory_gib=8))
    assert advice(base, roomy, sizes_of(base, roomy, None)) == ()
    assert advice(base, Place(part=None), sizes_of(base, Place(part=None), None)) == ()
    (sentence,) = advice(pod, tight, sizes_of(pod, tight, None))
    assert "more memory" in sentence


def test_sharding_is_chosen_where_copies_do_not_fit(rulebook: Rulebook) -> None:
    pod = job(rulebook, "pod")
    sizes = sizes_of(pod, Place(part=part(memory_gib=80), count=64), None)
    assert sizes.layout == "sharded" and sizes.fits
    assert sizes.memory["replicated"].total > 80 * GIB


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("NVIDIA H200", "NVIDIA H200 SXM 141GB"),
        ("nvidia h100 sxm5 80gb", "NVIDIA H100 SXM5 80GB"),
        ("rtx 4090", "NVIDIA GeForce RTX 4090"),
        ("TPU v5 lite", "Google TPU v5e"),
        ("m4 max 40-core", "Apple M4 Max, 40-core GPU"),
    ],
)
def test_a_part_is_found_by_whole_name_or_by_words_of_its_own(rulebook: Rulebook, name: str, found: str) -> None:
    assert find_part(rulebook, name).name == found


@pytest.mark.parametrize(
    ("name", "offered"),
    [("H100", "NVIDIA H100 PCIe 80GB"), ("NVIDIA H20", "NVIDIA H200"), ("RTX 409", "RTX 4090"), ("zzz", "NVIDIA L4")],
)
def test_an_unclear_name_offers_parts(rulebook: Rulebook, name: str, offered: str) -> None:
    with pytest.raises(UsageError, match=offered):
        find_part(rulebook, name)


def test_the_machines_own_part_is_the_first_that_is_listed(rulebook: Rulebook) -> None:
    def here(model: str) -> Accelerator:
        return Accelerator(vendor="x", model=model, device_id="0", memory_bytes=None, power_limit_w=None, driver=None)

    part_, why = own_part(rulebook, [here("Unheard Of 1"), here("NVIDIA H200")])
    assert part_ is not None and part_.name == "NVIDIA H200 SXM 141GB" and why is None
    assert own_part(rulebook, [])[1] == "no accelerator was found here; name a part with --device"
    assert "Unheard Of 1 is not" in str(own_part(rulebook, [here("Unheard Of 1")])[1])


@pytest.mark.parametrize("name", ["lm-generate", "embed", "lm-serve"])
def test_a_benchmark_that_serves_is_told_that_it_has_no_plan(rulebook: Rulebook, name: str) -> None:
    benchmark = rulebook.benchmarks[name]
    with pytest.raises(UsageError, match=f"{name} serves, and plans are for benchmarks that train"):
        job_of(benchmark, benchmark.tiers["nano"], resolve(benchmark, "nano", "closed", {}).settings)
