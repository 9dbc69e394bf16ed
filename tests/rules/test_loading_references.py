"""Broken files of reference points are refused with file, line and reason; the shipped ones hold together."""

from __future__ import annotations

import pytest

from oildrop.rules.errors import RulebookError
from oildrop.rules.identity import rulebook_seed
from oildrop.rules.loading import load_rulebook, parse_rulebook
from oildrop.rules.rulebook import Rulebook

# The toy's file: line 4 is its first [[points]], its runs stand on lines 13 to 32; the second is on line 35.
SEED_3 = 'seed_index = 3, seed = 3, framework = "torch 2"'


def parse(rulebook: Rulebook, text: str) -> Rulebook:
    return parse_rulebook({**rulebook.files, "reference/toy.toml": text.encode()})


def text_of(rulebook: Rulebook) -> str:
    return rulebook.files["reference/toy.toml"].decode()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('benchmark = "toy"', 'benchmark = "top"', r"line 2: benchmark 'top' is not in the rulebook"),
        ('benchmark = "toy"', 'benchmark = "toy"\ncolour = 1', r"line 1: colour is unknown"),
        ("oildrop.reference/2", "oildrop.reference/1", r"line 1: schema 'oildrop.reference/1' is unknown"),
        ('tier = "nano"', 'tier = "huge"', r"line 5: tier huge is not one of nano, smoke"),
        ("batch = 5", "batch = 0", r"line 4: points\.0\.batch: Input should be greater than 0"),
        ("batch = 10", "batch = 5", r"line 5: .*tier nano: batch 5 stands twice; keep one point"),
        ("batch = 10", "batch = 2", r"line 5: .*tier nano: batch 2 stands after 5; sort by batch"),
        ("batch = 5", "batch = 2", r"line 5: .*tier nano has no point at its own batch of 5"),
        ('measured = "2026-11-22"', 'measured = "today"', r"line 4: points\.0\.measured: String should match"),
        (SEED_3, SEED_3.replace("x = 3", "x = -3"), r"line 16: points\.0\.runs\.3\.seed_index: .* equal to 0"),
        (SEED_3, SEED_3.replace("x = 3", "x = 2"), r"line 4: points\.0: .*batch 5: seed 2 of torch-cpu .* twice"),
        (SEED_3, SEED_3.replace("x = 3", "x = 1"), r"seed 1 of torch-cpu .* stands after seed 2 .*; sort by backend"),
        (SEED_3, SEED_3.replace("torch 2", "jax 1"), r"seed 3 of torch-cpu fp32 \(jax 1\) stands after seed 2"),
        ("samples_to_target = 33.0", "samples_to_target = 0", r"line 13: .*samples_to_target: .* greater than 0"),
    ],
)
def test_a_broken_file_is_refused_with_line_and_reason(
    toy_rulebook: Rulebook, old: str, new: str, message: str
) -> None:
    text = text_of(toy_rulebook)
    assert old in text
    with pytest.raises(RulebookError, match=rf"^reference/toy\.toml: .*{message}"):
        parse(toy_rulebook, text.replace(old, new, 1))


def test_nineteen_runs_are_too_few(toy_rulebook: Rulebook) -> None:
    lines = text_of(toy_rulebook).splitlines()
    last = max(number for number, line in enumerate(lines) if "seed_index = 19" in line)
    with pytest.raises(RulebookError, match=r"line 35: points\.1: .*batch 10: 19 runs are under 20"):
        parse(toy_rulebook, "\n".join(lines[:last] + lines[last + 1 :]))


def test_twenty_runs_of_one_seed_are_no_point(toy_rulebook: Rulebook) -> None:
    text = text_of(toy_rulebook)
    for seed in range(20):
        old = f'seed_index = {seed}, seed = {seed}, framework = "torch 2"'
        text = text.replace(old, f'seed_index = 0, seed = 0, framework = "torch 2.{seed:02d}"', 1)
    with pytest.raises(RulebookError, match=r"line 4: .*all runs have seed 0; use several seeds"):
        parse(toy_rulebook, text)


def test_a_tier_speaks_through_the_point_at_its_own_batch(toy_rulebook: Rulebook) -> None:
    reference = toy_rulebook.reference_of("toy", "nano")
    assert reference is not None
    assert [point.batch for point in reference.points] == [5, 10]
    assert reference.batch == reference.own.batch == 5
    assert reference.samples_to_target == (33.0, 35.0, 37.0, 35.0) * 5
    assert reference.seeds == tuple(range(20))
    assert reference.coefficient_of_variation == pytest.approx((10 * 2.0**2 / 19) ** 0.5 / 35)
    assert (reference.framework, reference.dtype, reference.measured) == ("torch 2", "fp32", "2026-11-22")
    assert toy_rulebook.reference_of("toy", "smoke") is None


def test_the_shipped_points_are_of_the_rulebooks_own_seeds_and_settings() -> None:
    rulebook = load_rulebook()
    assert {reference.benchmark for reference in rulebook.references} >= {"lm-pretrain", "image-classify"}
    for reference in rulebook.references:
        sha256 = rulebook.benchmarks[reference.benchmark].sha256
        for point in reference.points:
            assert all(run.seed == rulebook_seed(sha256, run.seed_index) for run in point.runs)
