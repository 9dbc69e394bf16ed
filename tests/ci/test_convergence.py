"""The reference file that the farm writes is one that the rulebook reads."""

from __future__ import annotations

import statistics

import pytest

from oildrop.ci.convergence import reference_file
from oildrop.rules.identity import rulebook_seed
from oildrop.rules.loading import load_rulebook, parse_rulebook


def test_the_file_is_read_back_in_the_order_of_the_seeds() -> None:
    samples = [100.0, 120.0, 110.0]
    runs = [
        {"seed_index": index, "seed": 10 + index, "metrics": [{"name": "samples_to_target", "value": value}]}
        for index, value in enumerate(samples)
    ]
    text = reference_file("lm-pretrain", "nano", "torch 2", "fp32", list(reversed(runs)), "2026-11-22")
    shipped = {name: data for name, data in load_rulebook().files.items() if not name.startswith("reference/")}
    rulebook = parse_rulebook({**shipped, "reference/lm-pretrain.toml": text.encode()})
    reference = rulebook.reference_of("lm-pretrain", "nano")
    assert reference is not None
    assert reference.seeds == (10, 11, 12)
    assert reference.samples_to_target == (100.0, 120.0, 110.0)
    assert reference.coefficient_of_variation == pytest.approx(statistics.stdev(samples) / 110, abs=1e-5)


@pytest.mark.parametrize("benchmark", ["lm-pretrain", "image-classify"])
def test_the_shipped_references_are_of_the_rulebooks_own_seeds(benchmark: str) -> None:
    rulebook = load_rulebook()
    reference = rulebook.reference_of(benchmark, "nano")
    assert reference is not None
    sha256 = rulebook.benchmarks[benchmark].sha256
    assert reference.seeds == tuple(rulebook_seed(sha256, index) for index in range(20))
